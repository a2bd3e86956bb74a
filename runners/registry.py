"""The engines' programs that the user registered: kept, with their hashes, in the user's data folder.

``FOLDER/<engine>/<target>/<name>.json`` says what is registered; the program itself lies beside it in a folder
named by its sha256, so that replacing one is one rename, and a measurement that runs meanwhile keeps its own.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bibench_deploy.errors import InputError, StorageError
from bibench_deploy.files import make_folder, storage_error, write_atomically

from .executables import Libc, executable


@dataclass(frozen=True)
class Known:
    """A program that can be registered.

    Attributes:
        engine: whose it is.
        name: as its project calls it, and as it is called on a device.
        does: what it is for, in words.
        marks: texts that the file holds, whatever it was renamed to.
        foreign: texts that only another program of the same libraries holds.
    """

    engine: str
    name: str
    does: str
    marks: tuple[bytes, ...]
    foreign: tuple[bytes, ...] = ()


#: The texts are messages and names of operators, which no compiler takes apart.
PROGRAMS = (
    Known("larq", "lce_benchmark_model", "measures", (b"LceBconv2d", b"nference timings in us: ")),
    Known(
        "dabnn",
        "benchmark_single_model",
        "measures",
        (b"Not supported op", b"benchmark_min_time"),
        (b"dabnn_bireal18_imagenet", b"model_imagenet"),
    ),
    Known("dabnn", "run", "verifies", (b"Not supported op", b"Fetching blob: ")),
)
#: Targets of programs; Android's are those that need its own C library.
TARGETS = (
    "aarch64-linux",
    "aarch64-android",
    "armv7-linux",
    "armv7-android",
    "x86_64-linux",
    "aarch64-macos",
)

_FILE_REMEDY: Mapping[str, str] = {
    "larq": "give lce_benchmark_model of Larq Compute Engine, built for the device",
    "dabnn": "give benchmark_single_model (which measures) or run (which verifies) of daBNN, built for the device",
}


class Registered(BaseModel):
    """A program that is registered.

    Attributes:
        program: its name.
        original: the file that it was copied from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    engine: str
    program: str
    target: str
    libc: Libc
    sha256: str
    size_bytes: int
    added_at: AwareDatetime
    original: str


def registry_folder() -> Path:
    """Where the user's registered programs lie."""
    from platformdirs import user_data_path

    return user_data_path("bibench-deploy", appauthor=False) / "engines"


class Registry:
    """The registered programs.

    Args:
        folder: where they lie; the user's by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or registry_folder()

    def add(self, engine: str, source: Path, target: str | None = None) -> Registered:
        """Copy a program; it takes the place of the same program for the same target.

        Args:
            target: what the user takes it to be built for; told by the file where None.

        Raises:
            InputError: not a program, not this engine's, or not for this target.
            OutputPathError, StorageError: it can't be kept.
        """
        _check_names(engine, target)
        data = _read(source)
        try:
            found = executable(data)
        except ValueError as error:
            raise InputError(str(error), where=str(source), remedy=_FILE_REMEDY[engine]) from error
        if target not in (None, found.target):
            raise InputError(
                f"it is built for {found.target}, not for {target}",
                where=str(source),
                remedy=f"give the program for {target}, or --target {found.target}",
            )
        known = _recognised(engine, data, source)
        entry = Registered(
            engine=engine,
            program=known.name,
            target=found.target,
            libc=found.libc,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            added_at=datetime.now(UTC),
            original=str(source.resolve()),
        )
        path = self.path(entry)
        make_folder(path.parent, "name a folder that can be written in the variable XDG_DATA_HOME")
        write_atomically(path, data)
        before = self._read_entry(self._entry_path(entry))
        write_atomically(self._entry_path(entry), entry.model_dump_json(indent=2).encode() + b"\n")
        if before is not None and before.sha256 != entry.sha256:
            self._forget(before)
        return entry

    def remove(self, engine: str, target: str | None = None) -> list[Registered]:
        """Forget an engine's programs, those for one target or all; gives what was removed.

        Raises:
            InputError: there is none.
        """
        _check_names(engine, target)
        gone = [entry for entry in self.entries(engine) if target in (None, entry.target)]
        if not gone:
            raise InputError(
                f"no program of {engine} is registered" + (f" for {target}" if target else ""),
                remedy="see 'bibench-deploy engines list'",
            )
        for entry in gone:
            try:
                self._entry_path(entry).unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(error, self._entry_path(entry)) from error
            self._forget(entry)
        return gone

    def entries(self, engine: str | None = None) -> list[Registered]:
        """All that is registered, or one engine's, by engine, target and program.

        Raises:
            StorageError: an entry is damaged.
        """
        found = [self._read_entry(path) for path in sorted(self.folder.glob(f"{engine or '*'}/*/*.json"))]
        return [entry for entry in found if entry is not None]

    def path(self, entry: Registered) -> Path:
        """Where a registered program lies."""
        return self.folder / entry.engine / entry.target / entry.sha256 / entry.program

    def verified(self, entry: Registered) -> Path:
        """Where a registered program lies, its bytes those that were registered.

        Raises:
            StorageError: they are not, or it is gone.
        """
        path = self.path(entry)
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise _damaged(path, f"can't be read ({error.strerror})", entry) from error
        if digest != entry.sha256:
            raise _damaged(path, "its sha256 is not the one that was registered", entry)
        return path

    def _entry_path(self, entry: Registered) -> Path:
        return self.folder / entry.engine / entry.target / f"{entry.program}.json"

    def _read_entry(self, path: Path) -> Registered | None:
        try:
            return Registered.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise StorageError(
                "not an entry of the registry of engines",
                where=str(path),
                remedy="remove the file, and add the program again",
            ) from error

    def _forget(self, entry: Registered) -> None:
        shutil.rmtree(self.path(entry).parent, ignore_errors=True)  # without its entry it is only room


def _check_names(engine: str, target: str | None) -> None:
    if engine not in _FILE_REMEDY:
        remedy = f"choose one of: {', '.join(_FILE_REMEDY)}"
        if engine == "native":
            remedy = "it is built when it is needed, or by 'bibench-deploy engines build'"
        raise InputError(f"programs of '{engine}' are not registered", remedy=remedy)
    if target is not None and target not in TARGETS:
        raise InputError(f"no target '{target}'", remedy=f"choose one of: {', '.join(TARGETS)}")


def _read(source: Path) -> bytes:
    if not source.is_file():
        what = "is a folder, not a file" if source.is_dir() else "there is no such file"
        raise InputError(what, where=str(source), remedy="give the path of the program")
    try:
        return source.read_bytes()
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror})", where=str(source), remedy="check its permissions"
        ) from error


def _recognised(engine: str, data: bytes, source: Path) -> Known:
    """Which of an engine's programs a file is.

    Raises:
        InputError: none of them.
    """
    for known in PROGRAMS:
        if known.engine == engine and all(mark in data for mark in known.marks):
            if any(text in data for text in known.foreign):
                break
            return known
    names = " or ".join(known.name for known in PROGRAMS if known.engine == engine)
    raise InputError(f"it is not {names} of {engine}", where=str(source), remedy=_FILE_REMEDY[engine])


def _damaged(path: Path, what: str, entry: Registered) -> StorageError:
    return StorageError(
        f"the registered program: {what}",
        where=str(path),
        remedy=f"add it again: bibench-deploy engines add {entry.engine} --target {entry.target} PATH",
    )
