"""What models became, kept by content: ``WORKSPACE/artefacts/<key>/``.

The key is a hash of all that decides what comes out, so that nothing is converted twice, and an artefact of an
earlier night is still there when a suspicion is to be confirmed. A folder is made beside and renamed: it is whole,
or it is not there. ``conversion.json`` in it says what it holds; its time of change says when it was last used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bibench_deploy.errors import ArtefactError
from bibench_deploy.files import make_folder, storage_error, write_together
from bibench_deploy.runners.workspace import Artefact, read_artefact

from .making import Made, Order

FOLDER = "artefacts"
RECORD = "conversion.json"
_LOCK = ".lock"
#: A folder that someone was at when he was killed is no one's after this.
LEFT_BEHIND = timedelta(days=1)


class Record(BaseModel):
    """What a folder holds.

    Attributes:
        algorithm: that the model is binarized with; "" where it was not understood.
        artefacts: "binarized" or "fp32" → file.
        sha256: file → of its bytes.
        refused: why the engine can't take the model; empty where it can.
        seconds: that converting took.
    """

    model_config = ConfigDict(frozen=True)
    format: Literal[1] = 1
    model: str
    engine: str
    algorithm: str
    artefacts: dict[str, str]
    sha256: dict[str, str]
    refused: list[str]
    seconds: float
    made_at: AwareDatetime


@dataclass(frozen=True)
class Kept:
    """A folder whose artefacts are whole and verified.

    Attributes:
        artefacts: by "binarized" or "fp32".
    """

    record: Record
    artefacts: Mapping[str, Artefact]


def key_of(order: Order) -> str:
    """The name of the folder that an order's result is kept in."""
    parts = {
        "name": Path(order.name).stem,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in order.files.items()},
        "engine": order.engine,
        "twin": order.twin,
        "allow": sorted(order.allow),
        "data": hashlib.sha256(order.data).hexdigest() if order.data is not None else None,
        "tool": order.tool,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def kept(workspace: Path, key: str) -> Kept | None:
    """What is kept under a key; None where there is nothing, or it is damaged or not verified."""
    folder = workspace / FOLDER / key
    record = _record(folder)
    if record is None:
        return None
    try:
        artefacts = {variant: read_artefact(folder / file) for variant, file in record.artefacts.items()}
    except (ArtefactError, OSError):  # it is made again, which mends it
        return None
    if not all(artefact.manifest.verified for artefact in artefacts.values()):
        return None
    return Kept(record, artefacts)


def used(workspace: Path, key: str) -> None:
    """Keep a folder from being pruned for a while."""
    try:
        os.utime(workspace / FOLDER / key / RECORD)
    except OSError as error:
        raise storage_error(error, workspace / FOLDER / key) from error


def keep(workspace: Path, key: str, order: Order, made: Made, now: datetime | None = None) -> Kept:
    """Keep what an order became. If another process was faster, its result stands.

    Raises:
        OutputPathError, StorageError: it can't be written.
        ArtefactError: what was made is not what its manifest says.
    """
    folder = workspace / FOLDER
    make_folder(folder)
    record = Record(
        model=Path(order.name).stem,
        engine=order.engine,
        algorithm=made.algorithm,
        artefacts=dict(made.artefacts),
        sha256={name: hashlib.sha256(made.files[name]).hexdigest() for name in made.artefacts.values()},
        refused=list(made.refused),
        seconds=round(made.seconds, 3),
        made_at=now or datetime.now(UTC),
    )
    beside = _beside(folder, key)
    try:
        document = record.model_dump_json(indent=2).encode() + b"\n"
        write_together({beside / name: data for name, data in {**made.files, RECORD: document}.items()})
        with _locked(folder):
            there = kept(workspace, key)
            if there is not None:
                return there
            _take_away(folder / key)
            beside.rename(folder / key)
    except OSError as error:
        raise storage_error(error, folder / key) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)  # nothing is there after the renaming
    whole = kept(workspace, key)
    if whole is None:
        raise ArtefactError("what was converted is damaged or not verified", where=str(folder / key))
    return whole


def find_artefact(workspace: Path, sha256: str) -> Artefact | None:
    """An artefact by its bytes' sha256, of this night or an old one."""
    for folder in _folders(workspace):
        record = _record(folder)
        for name in [name for name, digest in (record.sha256 if record else {}).items() if digest == sha256]:
            try:
                return read_artefact(folder / name)
            except (ArtefactError, OSError):  # damaged: another folder may have the same bytes
                continue
    return None


def prune(workspace: Path, days: int, now: datetime | None = None) -> int:
    """Remove what no night has used for some days; how many folders that were.

    Raises:
        OutputPathError, StorageError: they can't be removed.
    """
    now = now or datetime.now(UTC)
    root = workspace / FOLDER
    if not root.is_dir():
        return 0
    count = 0
    try:
        with _locked(root):
            for folder in _folders(workspace):
                if now - _changed(folder / RECORD) > timedelta(days=days):
                    _take_away(folder)
                    count += 1
            for folder in root.glob(".*.tmp"):
                if now - _changed(folder) > LEFT_BEHIND:
                    shutil.rmtree(folder)
    except OSError as error:
        raise storage_error(error, root) from error
    return count


def seconds_of(workspace: Path, engine: str) -> list[float]:
    """How long conversions for an engine took, of those that are kept."""
    records = (_record(folder) for folder in _folders(workspace))
    return [record.seconds for record in records if record and record.engine == engine]


def _folders(workspace: Path) -> list[Path]:
    return sorted(file.parent for file in (workspace / FOLDER).glob(f"[!.]*/{RECORD}"))


def _record(folder: Path) -> Record | None:
    try:
        return Record.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):  # it is made again, which mends it
        return None


def _changed(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:  # another process took it away
        return datetime.now(UTC)


def _beside(folder: Path, key: str) -> Path:
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{key}.", suffix=".tmp", dir=folder))
        beside.chmod(folder.stat().st_mode & 0o777)  # mkdtemp makes it for the owner alone
    except OSError as error:
        raise storage_error(error, folder) from error
    return beside


def _take_away(folder: Path) -> None:
    """Remove a folder so that no one sees half of it."""
    if not folder.exists():
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    folder.rename(aside / "gone")
    shutil.rmtree(aside)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let no other process change the names in a folder meanwhile."""
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)  # which also gives the lock back
