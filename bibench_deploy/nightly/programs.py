"""Which program of an engine a device runs, and copies of those that ran: ``WORKSPACE/programs/<sha256>``.

An engine that was built anew is a suspect as a model is: only with the old program at hand can both be measured in
turns.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from bibench_deploy.device_profiles import DeviceProfile
from bibench_deploy.errors import BibenchError
from bibench_deploy.files import make_folder, write_atomically
from bibench_deploy.local_place import digest, local_program
from bibench_deploy.runners.device.facts import DeviceFacts

FOLDER = "programs"


class HasPrograms(Protocol):
    """What is needed of a ``DeviceEngine``."""

    def programs(self, facts: DeviceFacts, device: str) -> Mapping[str, Path]:
        """See ``DeviceEngine``."""
        ...


class Programs:
    """The programs of a night.

    Args:
        workspace: where copies are kept.
        engines: that devices can execute, by name.
    """

    def __init__(self, workspace: Path, engines: Mapping[str, HasPrograms]) -> None:
        self._folder = workspace / FOLDER
        self._engines = engines
        self._ids: dict[tuple[str, str | None], str] = {}

    def engine_id(self, engine: str, device: str, profile: DeviceProfile | None) -> str:
        """What a device will execute: sha256 of the program, which is kept then, or "name version" of a library.

        A program that can't be had now is "unknown": what measures will say why.

        Args:
            profile: the device's; None for this machine.

        Raises:
            OutputPathError, StorageError: the copy can't be kept.
        """
        # A profile decides; looking for the program of each of a thousand jobs would take minutes.
        key = engine, profile.id if profile is not None else None
        if key not in self._ids:
            self._ids[key] = self._found(engine, device, profile)
        return self._ids[key]

    def _found(self, engine: str, device: str, profile: DeviceProfile | None) -> str:
        try:
            path = self._program(engine, device, profile)
        except BibenchError:
            return f"{engine} unknown"
        if path is None:
            return _library(engine)
        sha256 = digest(path)
        self._keep(path, sha256)
        return sha256

    def kept(self, sha256: str) -> Path | None:
        """The copy of a program; None where there is none."""
        path = self._folder / sha256
        return path if path.is_file() and digest(path) == sha256 else None

    def prune(self, days: int, now: datetime | None = None) -> None:
        """Remove copies that no night has used for some days."""
        oldest = (now or datetime.now(UTC)) - timedelta(days=days)
        for copy in self._folder.iterdir() if self._folder.is_dir() else ():
            if datetime.fromtimestamp(copy.stat().st_mtime, UTC) < oldest:
                copy.unlink(missing_ok=True)

    def _program(self, engine: str, device: str, profile: DeviceProfile | None) -> Path | None:
        if profile is None:
            return local_program() if engine == "native" else None
        return self._engines[engine].programs(likely_facts(profile), device)["program"]

    def _keep(self, path: Path, sha256: str) -> None:
        copy = self._folder / sha256
        if self.kept(sha256) is None:
            make_folder(self._folder)
            write_atomically(copy, path.read_bytes())
            copy.chmod(0o755)
        else:
            os.utime(copy)


def likely_facts(profile: DeviceProfile) -> DeviceFacts:
    """What the profile says, for what a look at the device would: it decides the target alone."""
    return DeviceFacts(
        system="Darwin" if "macOS" in (profile.os or "") else "Linux",
        machine=profile.arch,
        termux="Android" in (profile.os or ""),
    )


@lru_cache(maxsize=16)
def _library(engine: str) -> str:
    """An engine that is a library of this process, or a command that the user gave."""
    from bibench_deploy.converters.engine import load_engine

    try:
        versions = load_engine(engine).versions()
    except BibenchError:  # what measures will say so
        return f"{engine} unknown"
    return " ".join([engine, *(f"{name}-{version}" for name, version in versions.items())])
