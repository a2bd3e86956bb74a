"""Processes that convert: gone when they should be, replaced when one dies, and two commands at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.errors import EngineError
from bibench_deploy.nightly import kept
from bibench_deploy.nightly.conversion import Task, convert_stale, stale
from bibench_deploy.nightly.pools import processes
from support.cli_nets import write_net

#: Long enough for the slowest machine, s; nothing waits for so long where all is well.
PATIENCE_S = 60.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process is there and no mere entry that nobody has read yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_ctrl_c_ends_workers_and_what_they_started() -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with processes(1) as executor:
            pids.append(executor.submit(os.getpid).result())
            executor.submit(subprocess.run, ["sleep", "600"])
            until(lambda: bool(children(pids[0])))
            pids.extend(children(pids[0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(pids) == 2
    until(lambda: not any(map(runs, pids)))


def test_workers_end_with_a_parent_that_is_killed() -> None:
    script = (
        "import os, time\n"
        "from bibench_deploy.nightly.pools import processes\n"
        "if __name__ == '__main__':\n"
        "    with processes(1) as executor:\n"
        "        print(executor.submit(os.getpid).result(), flush=True)\n"
        "        time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert runs(worker)
        parent.kill()
    until(lambda: not runs(worker))


@contextmanager
def deadly(name: str, workers: int = 1) -> Iterator[Executor]:
    """Processes of which the one that gets a certain model dies."""
    with processes(workers) as inner:

        class Deadly(Executor):
            def submit(self, function: Any, order: Any) -> Future[Any]:  # type: ignore[override]
                return inner.submit(os._exit, 9) if order.name == name else inner.submit(function, order)

        yield Deadly()


def test_a_model_that_takes_its_process_along_costs_the_others_nothing(tmp_path: Path) -> None:
    models = [write_net(tmp_path / name, layers=1) for name in ("a.onnx", "bomb.onnx", "c.onnx")]
    told: list[str] = []
    result = convert_stale(
        [Task(model, "native", twin=False) for model in models],
        tmp_path,
        lambda: deadly("bomb.onnx"),
        told.append,
    )
    assert {model.name for model, _, _ in result.artefacts} == {"a.onnx", "c.onnx"}
    error = result.failed[models[1], "native"]
    assert isinstance(error, EngineError)
    assert error.where == "bomb.onnx for native"
    assert len(told) == 3


CONVERT = """
import sys
from pathlib import Path
from bibench_deploy.nightly.conversion import Task, convert_stale
from bibench_deploy.nightly.pools import pool
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    todo = [Task(model, "native", False) for model in sorted(folder.glob("*.onnx"))]
    result = convert_stale(todo, folder, pool(None, 1))
    print(result.made, len(result.artefacts), len(result.failed))
"""


@contextmanager
def converting(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", CONVERT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def whole(folder: Path) -> list[str]:
    """The folders that anyone can see; each is whole."""
    names = [path.name for path in (folder / kept.FOLDER).glob("[!.]*")]
    assert all(kept.kept(folder, name) for name in names)
    return names


@pytest.mark.slow
def test_two_commands_at_once_and_one_that_is_killed(tmp_path: Path) -> None:
    """Nothing half is ever seen, whoever is first; what a killed command has left, the next one makes."""
    # So many that it is killed before it has made all.
    models = [write_net(tmp_path / f"{name}.onnx", layers=1) for name in "abcdefgh"]
    with converting(tmp_path) as killed:
        until(lambda: bool(whole(tmp_path)))
        os.kill(killed.pid, signal.SIGKILL)
    todo = [Task(model, "native", twin=False) for model in models]
    assert stale(todo, tmp_path), "it was killed too late to show anything"
    with converting(tmp_path) as one, converting(tmp_path) as two:
        until(lambda: bool(whole(tmp_path)) and one.poll() is not None and two.poll() is not None)
        said = [process.stdout.read().split() for process in (one, two) if process.stdout]
    assert (one.returncode, two.returncode) == (0, 0)
    assert [words[1:] for words in said] == [[str(len(models)), "0"]] * 2
    assert len(whole(tmp_path)) == len(models)
    assert stale(todo, tmp_path) == ()


def test_an_interrupted_conversion_leaves_no_half(tmp_path: Path) -> None:
    net = write_net(tmp_path / "net.onnx", layers=1)

    @contextmanager
    def interrupting() -> Iterator[Executor]:
        with processes(1) as executor:
            yield executor

    def said(message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_stale([Task(net, "native", twin=False)], tmp_path, interrupting, said)
    assert not list(tmp_path.glob(f"{kept.FOLDER}/*"))
