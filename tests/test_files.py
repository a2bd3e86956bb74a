"""Files are whole or not there, in the company of those that they belong to."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibench_deploy.errors import OutputPathError, StorageError
from bibench_deploy.files import (
    make_folder,
    replace_folder,
    storage_error,
    write_atomically,
    write_together,
)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this container may not mount file systems")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("old", [None, b"", b"old content"])
def test_written_whole(old: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == {"a.bin"}


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_full_disk_leaves_the_old_file(small_disk: Path) -> None:
    path = small_disk / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(StorageError, match="the disk is full") as refusal:
        write_atomically(path, b"x" * 100_000)
    assert (refusal.value.exit_code, refusal.value.where) == (3, str(path))
    assert path.read_bytes() == b"old"
    assert names(small_disk) == {"a.bin"}


def test_of_files_that_belong_together_none_is_written_if_one_does_not_fit(small_disk: Path) -> None:
    first, second = small_disk / "first", small_disk / "second"
    first.write_bytes(b"old")
    with pytest.raises(StorageError) as refusal:
        write_together({first: b"x" * 30_000, second: b"x" * 60_000})
    assert refusal.value.where == str(second)
    assert first.read_bytes() == b"old"
    assert names(small_disk) == {"first"}
    write_together({first: b"new", second: b"newer"})
    assert (first.read_bytes(), second.read_bytes()) == (b"new", b"newer")


def test_none_is_written_if_one_has_no_place(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with pytest.raises(OutputPathError):
        write_together({tmp_path / "first": b"x", tmp_path / "second": b"y"})
    assert names(tmp_path) == {"second"}


@pytest.mark.parametrize(
    ("target", "says"),
    [("folder", "is a folder"), ("nowhere/a", "does not exist"), ("pipe", "not a regular file"), ("a/b", "")],
)
def test_paths_that_are_no_place_for_a_file(target: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputPathError) as refusal:
        write_atomically(tmp_path / target, b"x")
    assert says in refusal.value.message
    assert refusal.value.exit_code == 2
    assert names(tmp_path) == {"folder", "a", "pipe"}


def test_folders_are_made_with_those_above(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == set()


@pytest.mark.parametrize("path", ["file", "file/below", "x" * 300])
def test_what_can_be_no_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputPathError, match="can't be written") as refusal:
        make_folder(tmp_path / path)
    assert refusal.value.remedy == "choose another folder"
    with pytest.raises(OutputPathError, match="name it in HERE"):
        make_folder(tmp_path / path, "name it in HERE")


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, StorageError, 3),
        (errno.EDQUOT, StorageError, 3),
        (errno.EIO, StorageError, 3),
        (errno.EACCES, OutputPathError, 2),
        (errno.EROFS, OutputPathError, 2),
        (errno.ENOTDIR, OutputPathError, 2),
        (errno.ENAMETOOLONG, OutputPathError, 2),
    ],
)
def test_what_an_error_of_the_system_means(number: int, kind: type, code: int) -> None:
    found = storage_error(OSError(number, os.strerror(number)), Path("a"))
    assert (type(found), found.exit_code, found.where) == (kind, code, "a")
    assert found.remedy


MARK = ".ours"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARK
    }


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    for files in ({"index": b"1", "pages/a": b"2"}, {"index": b"3"}, {}):
        replace_folder(folder, files.items(), MARK)
        assert contents(folder) == files
        assert names(tmp_path) == {"site"}


def test_a_folder_keeps_the_permissions_that_it_was_given(tmp_path: Path) -> None:
    """A web server reads it, as another user."""
    folder, before = tmp_path / "site", os.umask(0o022)
    try:
        replace_folder(folder, [], MARK)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
        folder.chmod(0o750)
        replace_folder(folder, [("a/b", b"")], MARK)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750
        assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o755
    finally:
        os.umask(before)


def test_a_folder_behind_a_link_is_replaced_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    replace_folder(tmp_path / "link", [("a", b"1")], MARK)
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "real") == {"a": b"1"}


def failing() -> Iterator[tuple[str, bytes]]:
    yield "a", b"new"
    raise KeyboardInterrupt


def test_a_folder_stays_as_it_was_when_making_the_files_fails(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    with pytest.raises(KeyboardInterrupt):
        replace_folder(folder, failing(), MARK)
    assert names(tmp_path) == set()
    replace_folder(folder, [("a", b"old")], MARK)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(folder, failing(), MARK)
    assert contents(folder) == {"a": b"old"}
    assert names(tmp_path) == {"site"}


def test_a_folder_stays_as_it_was_when_the_new_one_can_not_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    replace_folder(folder, [("a", b"old")], MARK)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == folder and self.suffix == ".tmp":
            raise OSError(errno.EIO, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="input/output error"):
        replace_folder(folder, [("a", b"new")], MARK)
    assert contents(folder) == {"a": b"old"}
    assert names(tmp_path) == {"site"}


def test_a_full_disk_leaves_the_old_folder(small_disk: Path) -> None:
    folder = small_disk / "site"
    replace_folder(folder, [("a", b"old")], MARK)
    with pytest.raises(StorageError, match="the disk is full"):
        replace_folder(folder, [("a", b"new"), ("b", bytes(100_000))], MARK)
    assert contents(folder) == {"a": b"old"}
    assert names(small_disk) == {"site"}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("full", "holds other files"),
        ("file", "is a file"),
        ("absent/site", "does not exist"),
    ],
)
def test_folders_that_are_no_place_for_ours(target: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis").write_text("years of work")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputPathError, match=says):
        replace_folder(tmp_path / target, [("a", b"")], MARK)
    assert contents(tmp_path) == {"full/thesis": b"years of work", "file": b""}
