"""Files on a device by their content: ``WORKDIR/<sha256>/<name>``, pushed once, whole or not there."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bibench_deploy.errors import DeviceStorageError, InputError, PermanentDeviceError
from bibench_deploy.runners.transport.base import Completed, Progress, Transport
from bibench_deploy.runners.transport.shell import quote
from bibench_deploy.runners.transport.storage import storage_error

from .cache_script import (
    CacheEntry,
    Look,
    finish_script,
    list_script,
    look_script,
    parse_list,
    parse_look,
    remove_script,
    sum_script,
    superfluous,
)

# All that is cached on one device, KiB: some engines and a few dozen artefacts; cards of 8 GB are common.
LIMIT_KB = 1 << 20

# A script that touches a few files; a worn SD card can take seconds for a write.
SCRIPT_S = 60.0
# The slowest device that hashes, bytes/s: a Cortex-A7 with busybox.
_SLOWEST_HASH = 2_000_000

# Left free beside what is pushed, KiB: results, the lease.
_SPARE_KB = 256

_NOT_EXECUTED = 126


@dataclass(frozen=True)
class Cached:
    """A file that is on the device.

    Attributes:
        path: where; relative to the home of the account if the work folder is.
        digest: its SHA-256.
        bytes: that had to be sent for it: 0 if it was there.
    """

    path: str
    digest: str
    bytes: int


class DeviceCache:
    """The cached files of one device.

    Args:
        transport: the way there.
        workdir: folder on the device, absolute or relative to the account's home; made when needed.
        limit_kb: what all may take together, KiB; the least recently used go first.

    Attributes:
        root: the work folder.
    """

    def __init__(
        self,
        transport: Transport,
        workdir: str,
        *,
        limit_kb: int = LIMIT_KB,
    ) -> None:
        self.root = workdir
        self._transport = transport
        self._limit_kb = limit_kb
        self._partial = f".part.{secrets.token_hex(8)}"
        self._in_use: frozenset[str] = frozenset()

    def ensure(
        self,
        source: Path,
        *,
        name: str | None = None,
        executable: bool = False,
        progress: Progress | None = None,
    ) -> Cached:
        """See that a file is on the device, with its hash verified there.

        After a push that broke, the next one goes on where it was; a damaged file is pushed again.

        Args:
            source: file of this machine.
            name: its name there; by default the same.
            executable: it is a program.
            progress: told (bytes there, bytes in all) after each piece.

        Raises:
            InputError: the source can't be read.
            DeviceStorageError: no room, no permission, or programs may not be executed there.
            DeviceError: as ``Transport.run``.
        """
        digest, size = _digest(source)
        wanted = _Wanted(source, digest, size, _tame(name or source.name), executable, progress)
        self._in_use |= {digest}
        return self._ensure(wanted)

    def entries(self) -> tuple[CacheEntry, ...]:
        """What is cached, the most recently used first.

        Raises:
            DeviceError: as ``Transport.run``.
        """
        done = self._run(list_script(self.root), "listing the cache")
        return parse_list(done.stdout)

    def clean(self) -> tuple[CacheEntry, ...]:
        """Remove all that is cached, but for what this object has used; says what was removed.

        Raises:
            DeviceError: as ``Transport.run``.
        """
        return self._make_room(0)

    def _ensure(self, wanted: _Wanted) -> Cached:
        folder = f"{self.root}/{wanted.digest}"
        path = f"{folder}/{wanted.name}"
        look = self._look(wanted, folder)
        if look.there:
            if self._is_whole(wanted, path, look.digest):
                return Cached(path, wanted.digest, 0)
            self._run(f"rm -f {quote(path)}", f"removing a damaged {wanted.name}")
            look = self._look(wanted, folder)
        offset = look.partial if 0 < look.partial <= wanted.size else 0
        self._check_room(wanted, look, offset)
        partial = f"{folder}/{self._partial}"
        pushed = self._push(wanted, partial, offset)
        if not self._is_whole(wanted, partial, self._sum(wanted, partial)):
            if offset:  # what was there before was no beginning of this file
                pushed += self._push(wanted, partial, 0)
            if not offset or not self._is_whole(wanted, partial, self._sum(wanted, partial)):
                self._run(f"rm -f {quote(partial)}", f"removing a damaged {wanted.name}")
                raise PermanentDeviceError(
                    f"{wanted.name} does not arrive as it was sent",
                    device=self._transport.device,
                    step=wanted.step,
                    remedy="the disk, card or memory of the device is damaged: check it",
                )
        self._finish(wanted, folder)
        return Cached(path, wanted.digest, pushed)

    def _look(self, wanted: _Wanted, folder: str) -> Look:
        script = look_script(folder, wanted.name, self._partial, executable=wanted.executable)
        return parse_look(self._run(script, wanted.step, SCRIPT_S + wanted.size / _SLOWEST_HASH).stdout)

    def _check_room(self, wanted: _Wanted, look: Look, offset: int) -> None:
        """Keep to the limit; and let old things go where the file system itself is too small."""
        needed_kb = (wanted.size >> 10) + 1
        self._make_room(self._limit_kb - needed_kb)
        if look.free_kb is None:
            return
        short_kb = needed_kb - (offset >> 10) + _SPARE_KB - look.free_kb
        if short_kb <= 0:
            return
        gone = self._make_room(max(0, sum(entry.size_kb for entry in self.entries()) - short_kb))
        if sum(entry.size_kb for entry in gone) < short_kb:
            raise DeviceStorageError(
                f"{self.root}: {wanted.name} needs {needed_kb} KiB, and {look.free_kb} KiB are free",
                device=self._transport.device,
                step=wanted.step,
                remedy="free some space there, or choose a work folder on another file system (`workdir`)",
            )

    def _make_room(self, room_kb: int) -> tuple[CacheEntry, ...]:
        gone = superfluous(self.entries(), max(0, room_kb), self._in_use)
        if gone:
            digests = tuple(entry.digest for entry in gone)
            self._run(remove_script(self.root, digests), "removing what is least recently used")
        return gone

    def _push(self, wanted: _Wanted, partial: str, offset: int) -> int:
        self._transport.push(wanted.source, partial, offset=offset, progress=wanted.progress)
        return wanted.size - offset

    def _sum(self, wanted: _Wanted, path: str) -> str | None:
        done = self._run(sum_script(path), wanted.step, SCRIPT_S + wanted.size / _SLOWEST_HASH)
        return parse_look(done.stdout).digest

    def _is_whole(self, wanted: _Wanted, path: str, digest: str | None) -> bool:
        """Whether a file on the device is the one that is meant; read back where the device can't hash."""
        if digest is not None:
            return digest == wanted.digest
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy"
            self._transport.pull(path, copy)
            return _digest(copy)[0] == wanted.digest

    def _finish(self, wanted: _Wanted, folder: str) -> None:
        script = finish_script(folder, wanted.name, self._partial, executable=wanted.executable)
        done = self._transport.run(script, timeout_s=SCRIPT_S, step=wanted.step)
        if done.status == _NOT_EXECUTED:
            raise DeviceStorageError(
                f"{self.root}: programs may not be executed there (noexec, or Android's restriction)",
                device=self._transport.device,
                step=wanted.step,
                remedy="choose a work folder on another file system (`workdir`), or remount it with exec",
            )
        self._check(done, wanted.step)

    def _run(self, script: str, step: str, timeout_s: float = SCRIPT_S) -> Completed:
        done = self._transport.run(script, timeout_s=timeout_s, step=step)
        self._check(done, step)
        return done

    def _check(self, done: Completed, step: str) -> None:
        if done.status == 0:
            return
        error = storage_error(done, self._transport.device, step, self.root)
        if error is not None:
            raise error
        said = done.stderr.decode("utf-8", "replace").strip()
        raise PermanentDeviceError(
            f"the work folder {self.root} can't be used: {said or f'exit status {done.status}'}",
            device=self._transport.device,
            step=step,
            remedy="choose another one (`workdir`)",
        )


@dataclass(frozen=True)
class _Wanted:
    source: Path
    digest: str
    size: int
    name: str
    executable: bool
    progress: Progress | None

    @property
    def step(self) -> str:
        return f"pushing {self.name}"


def _digest(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file of this machine."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return digest, stream.tell()
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror})", where=str(path), remedy="check its permissions"
        ) from error


def _tame(name: str) -> str:
    """A name that a device's file system and a listing take: no control characters, no hidden files."""
    tamed = "".join("_" if ord(c) < 32 or c in "/\x7f" else c for c in name)
    return f"_{tamed}" if tamed.startswith((".", "-")) or not tamed else tamed
