"""Files that the program writes are whole or not there: what was there before stays until a new one is whole."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from support import native_engine
from support.bbm_files import BINARY, CONCAT, BbmFile

X = np.arange(4, dtype="<f4")
DOUBLED, FIVE_TIMES = (2 * X).tobytes(), np.tile(X, 5).tobytes()
#: Bytes that a file may have: enough for the one output, too few for the other.
ROOM = 40


@pytest.fixture(scope="session")
def engine() -> Path:
    return native_engine.build()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two outputs: the input doubled, 16 bytes, and five times side by side, 80 bytes."""
    file = BbmFile()
    x = file.tensor((1, 1, 1, 4), name="in")
    doubled, tiled = file.tensor((1, 1, 1, 4), name="doubled"), file.tensor((1, 1, 1, 20), name="tiled")
    file.operator(BINARY, {0: x, 1: x}, {0: doubled}, {0: 0})
    file.operator(CONCAT, dict.fromkeys(range(5), x), {0: tiled}, {0: 3, 1: 5})
    file.inputs, file.outputs = [x], [doubled, tiled]
    (tmp_path / "x.raw").write_bytes(X.tobytes())
    (tmp_path / "out").mkdir()
    return file.write(tmp_path / "m.bbm")


def little_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


def run(
    engine: Path,
    model: Path,
    options: Sequence[str],
    requests: str = "",
    limit: Callable[[], None] | None = little_room,
) -> subprocess.CompletedProcess[str]:
    """In the folder of the model; what it prints goes through pipes, which have no size."""
    return subprocess.run(
        [engine, model.name, *options],
        cwd=model.parent,
        input=requests,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )


def refused(result: subprocess.CompletedProcess[str], file: str, reason: str = "File too large") -> None:
    assert result.returncode == 2
    assert result.stderr == f"bibench-run: {file}: can't be written: {reason}\n"


ONE = ["--input", "x.raw", "--output", "out/y.raw"]
TWO = ["--input", "x.raw", "--output", "out/a.raw", "--output", "out/b.raw"]


def test_outputs_are_written(engine: Path, model: Path) -> None:
    for options in (ONE, TWO):
        assert run(engine, model, options, limit=None).returncode == 0
    files = {path.name: path.read_bytes() for path in (model.parent / "out").iterdir()}
    assert files == {"y.raw": DOUBLED + FIVE_TIMES, "a.raw": DOUBLED, "b.raw": FIVE_TIMES}


@pytest.mark.parametrize("before", [{}, {"a.raw": b"as it was", "b.raw": b"too", "y.raw": b"and this"}])
@pytest.mark.parametrize(("options", "failing"), [(ONE, "y.raw"), (TWO, "b.raw")])
def test_a_disk_that_is_full_leaves_all_outputs_as_they_were(
    engine: Path, model: Path, options: list[str], failing: str, before: dict[str, bytes]
) -> None:
    out = model.parent / "out"
    for name, data in before.items():
        (out / name).write_bytes(data)
    refused(run(engine, model, options), f"out/{failing}")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_folder_that_is_not_there_leaves_the_other_output_as_it_was(engine: Path, model: Path) -> None:
    options = ["--input", "x.raw", "--output", "out/a.raw", "--output", "absent/b.raw"]
    refused(run(engine, model, options, limit=None), "absent/b.raw", "No such file or directory")
    assert list((model.parent / "out").iterdir()) == []


def test_each_file_of_a_dump_is_whole_and_told_only_then(engine: Path, model: Path) -> None:
    result = run(engine, model, ["--input", "x.raw", "--dump", "all", "--dump-dir", "out"])
    refused(result, "out/00002-tiled.raw")
    files = {path.name: path.read_bytes() for path in (model.parent / "out").iterdir()}
    assert files == {"00000-in.raw": X.tobytes(), "00001-doubled.raw": DOUBLED}
    assert [name for name in files if name in result.stdout] == list(files)
    assert "tiled" not in result.stdout


def test_serve_answers_for_a_file_that_it_could_not_write_and_goes_on(engine: Path, model: Path) -> None:
    result = run(engine, model, ["--serve"], "run x.raw out/y.raw\nrun x.raw /dev/null\nquit\n")
    first, second = result.stdout.splitlines()
    assert first == "error out/y.raw: can't be written: File too large"
    assert second.startswith("ok ")
    assert list((model.parent / "out").iterdir()) == []


def test_a_link_stays_a_link_and_a_pipe_is_written_where_it_is(engine: Path, model: Path) -> None:
    target, link = model.parent / "out" / "y.raw", model.parent / "link"
    target.write_bytes(b"as it was")
    link.symlink_to(target)
    options = ["--input", "x.raw", "--output", "link", "--output", "/dev/stdout"]
    result = subprocess.run([engine, model.name, *options], cwd=model.parent, capture_output=True, check=True)
    assert link.is_symlink()
    assert target.read_bytes() == DOUBLED
    assert result.stdout == FIVE_TIMES
    assert os.listdir(target.parent) == ["y.raw"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's device that is always full")
@pytest.mark.parametrize(
    "options", [["--min-time", "0"], ["--per-op", "--min-time", "0"], ["--info"],
                ["--input", "x.raw", "--dump", "in", "--dump-dir", "out"]]
)  # fmt: skip
def test_an_answer_that_can_not_be_printed_is_an_error(engine: Path, model: Path, options: list[str]) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [engine, model.name, *options],
            cwd=model.parent,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (2, "bibench-run: the output can't be written\n")
    full_output = run(engine, model, ["--input", "x.raw", "--output", "/dev/full"], limit=None)
    refused(full_output, "/dev/full", "No space left on device")


def test_one_file_for_two_outputs_is_refused(engine: Path, model: Path) -> None:
    result = run(engine, model, ["--input", "x.raw", "--output", "out/y.raw", "--output", "out/y.raw"])
    assert (result.returncode, result.stderr) == (2, "bibench-run: --output names out/y.raw twice\n")
