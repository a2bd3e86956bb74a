"""Files get to a device once, whole, and by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from bibench_deploy.errors import DeviceStorageError, PermanentDeviceError
from bibench_deploy.runners.device.cache import DeviceCache
from bibench_deploy.runners.device.cache_script import CacheEntry, superfluous
from bibench_deploy.runners.transport import shelled
from bibench_deploy.runners.transport.local import LocalTransport
from bibench_deploy.runners.transport.shell import quote

DATA = bytes(range(256)) * 1000
WORK = "a work's folder"


@pytest.fixture
def device(tmp_path: Path) -> LocalTransport:
    home = tmp_path / "home"
    home.mkdir()
    return LocalTransport("pi", folder=home)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return _file(tmp_path / "model 'one'.bbm", DATA)


def test_a_file_goes_once(device: LocalTransport, source: Path, tmp_path: Path) -> None:
    cached = DeviceCache(device, WORK).ensure(source)
    assert cached.bytes == len(DATA)
    assert cached.path == f"{WORK}/{hashlib.sha256(DATA).hexdigest()}/{source.name}"
    assert (tmp_path / "home" / cached.path).read_bytes() == DATA
    again = DeviceCache(device, WORK).ensure(source)
    assert (again.path, again.bytes) == (cached.path, 0)


def test_a_program_can_be_run_and_data_can_not(device: LocalTransport, tmp_path: Path) -> None:
    program = _file(tmp_path / "prog", b"#!/bin/sh\necho ran\n")
    cached = DeviceCache(device, WORK).ensure(program, executable=True)
    assert device.run(quote(f"{cached.path}"), timeout_s=10).stdout == b"ran\n"
    (tmp_path / "home" / cached.path).chmod(0o644)
    assert DeviceCache(device, WORK).ensure(program, executable=True).bytes == 0
    assert device.run(quote(f"{cached.path}"), timeout_s=10).stdout == b"ran\n"
    data = DeviceCache(device, WORK).ensure(_file(tmp_path / "data", b"x"))
    assert not os.stat(tmp_path / "home" / data.path).st_mode & 0o111


@pytest.mark.parametrize("damage", [DATA[:-1], b"", DATA[:-1] + b"x", DATA + b"x"])
def test_a_damaged_file_is_pushed_again(
    device: LocalTransport, source: Path, tmp_path: Path, damage: bytes
) -> None:
    cached = DeviceCache(device, WORK).ensure(source)
    file = tmp_path / "home" / cached.path
    file.write_bytes(damage)
    assert DeviceCache(device, WORK).ensure(source).bytes == len(DATA)
    assert file.read_bytes() == DATA


@pytest.mark.parametrize(
    ("partial", "sent"),
    [
        (DATA[:100_000], len(DATA) - 100_000),  # goes on where it was
        (DATA, 0),  # broke before it got its name
        (b"x" * 100_000, 2 * len(DATA) - 100_000),  # no beginning of this file: noticed, and all anew
        (DATA + b"x", len(DATA)),  # longer than the file
    ],
)
def test_a_broken_push_goes_on(
    device: LocalTransport, source: Path, tmp_path: Path, partial: bytes, sent: int
) -> None:
    folder = tmp_path / "home" / WORK / hashlib.sha256(DATA).hexdigest()
    folder.mkdir(parents=True)
    (folder / ".part.0123456789abcdef").write_bytes(partial)
    (folder / ".part.fedcba9876543210").write_bytes(b"short")
    cached = DeviceCache(device, WORK).ensure(source)
    assert cached.bytes == sent
    assert (tmp_path / "home" / cached.path).read_bytes() == DATA
    assert [path.name for path in folder.iterdir()] == [source.name]


def test_a_push_in_pieces(
    device: LocalTransport, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelled, "PIECE_BYTES", 64_000)
    told: list[tuple[int, int]] = []
    cached = DeviceCache(device, WORK).ensure(source, progress=lambda there, of: told.append((there, of)))
    assert told == [(n, 256_000) for n in (64_000, 128_000, 192_000, 256_000, 256_000)]
    assert (tmp_path / "home" / cached.path).read_bytes() == DATA


def test_a_device_without_any_hash_tool(source: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    needed = "sh dd head sleep setsid cat wc df mkdir touch rm mv chmod ls du grep"
    for name in needed.split(" "):
        (tools / name).symlink_to(_which(name))
    home = tmp_path / "home"
    home.mkdir()
    bare = LocalTransport("pi", shell=("env", "-i", f"PATH={tools}", "sh"), folder=home)
    assert DeviceCache(bare, WORK).ensure(source).bytes == len(DATA)
    cached = DeviceCache(bare, WORK).ensure(source)
    assert cached.bytes == 0
    (home / cached.path).write_bytes(DATA[1:])
    assert DeviceCache(bare, WORK).ensure(source).bytes == len(DATA)


def test_the_least_recently_used_make_room(device: LocalTransport, tmp_path: Path) -> None:
    files = [_file(tmp_path / f"f{n}", os.urandom(100_000)) for n in range(3)]
    digests = [DeviceCache(device, WORK).ensure(file).digest for file in files]
    for age, digest in enumerate((digests[0], digests[2], digests[1])):
        os.utime(tmp_path / "home" / WORK / digest, (1e9 - age, 1e9 - age))
    small = DeviceCache(device, WORK, limit_kb=350)
    new = small.ensure(_file(tmp_path / "new", os.urandom(100_000)))
    assert [entry.digest for entry in small.entries()] == [new.digest, digests[0], digests[2]]
    assert small.entries()[0].names == ("new",)


def test_clean_removes_the_cache_alone(device: LocalTransport, source: Path, tmp_path: Path) -> None:
    DeviceCache(device, WORK).ensure(source)
    mine = _file(tmp_path / "home" / WORK / "mine", b"")
    removed = DeviceCache(device, WORK).clean()
    assert [entry.names for entry in removed] == [(source.name,)]
    assert list((tmp_path / "home" / WORK).iterdir()) == [mine]
    assert DeviceCache(device, "never made").clean() == ()


def test_a_work_folder_that_is_a_file(device: LocalTransport, source: Path, tmp_path: Path) -> None:
    _file(tmp_path / "home" / WORK, b"")
    with pytest.raises((DeviceStorageError, PermanentDeviceError), match="work"):
        DeviceCache(device, WORK).ensure(source)


@pytest.mark.parametrize(
    ("room", "keep", "gone"),
    [
        (60, "", ""),
        (59, "", "c"),
        (30, "", "c"),
        (29, "", "cb"),
        (0, "", "cba"),
        (0, "b", "ca"),
    ],
)
def test_what_is_superfluous(room: int, keep: str, gone: str) -> None:
    entries = tuple(CacheEntry(d, (), kb) for d, kb in (("a", 10), ("b", 20), ("c", 30)))
    assert "".join(entry.digest for entry in superfluous(entries, room, frozenset(keep))) == gone


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _which(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, name
    return found
