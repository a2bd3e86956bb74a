"""Whatever is wrong with a file, every command answers with one message and exit code 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bibench_deploy.cli import app as cli
from bibench_deploy.cli import console
from support.bad_models import BAD_MODELS, BadModel, good
from support.command import COMMAND, bibench, environment, is_clean
from support.onnx_models import save


@pytest.mark.parametrize("bad", BAD_MODELS, ids=lambda bad: bad.name)
def test_one_message(
    bad: BadModel,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = bad.make(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bibench-deploy", "inspect", str(path), "--json"])
    code = console.guarded(cli.app)
    captured = capfd.readouterr()
    assert code == 2
    assert captured.out == ""
    first, *others = captured.err.splitlines()
    assert first.startswith(f"error: {path}")
    assert bad.says in first
    assert len(others) == 1
    assert others[0].startswith("  what to do: ")


@pytest.mark.parametrize("command", [["inspect"], ["check"], ["convert", "-e", "larq"]])
@pytest.mark.parametrize("name", ["truncated to 0.5", "weights that don't fit"])
def test_every_command_that_takes_a_model(command: list[str], name: str, tmp_path: Path) -> None:
    (bad,) = [each for each in BAD_MODELS if each.name == name]
    done = bibench(*command, bad.make(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert bad.says in done.stderr
    assert is_clean(done.stderr)
    assert len(done.stderr.splitlines()) == 2


def test_a_file_that_may_not_be_read() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = save(folder / "model.onnx", good())
        path.chmod(0)
        command = [*COMMAND, "inspect", str(path)]
        if os.geteuid() == 0:  # whom no permission stops
            if shutil.which("setpriv") is None:
                pytest.skip("root without setpriv can't become someone else")
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        done = subprocess.run(command, env=environment(HOME="/"), capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 2, done.stderr
    assert f"{path}: can't be read (Permission denied)" in done.stderr
    assert is_clean(done.stderr)


def test_a_model_too_large_for_memory_is_no_bug_of_the_tool(tmp_path: Path) -> None:
    """An input of 4 TB, in a model of a few bytes."""
    path = save(tmp_path / "m.onnx", good(inputs="float[1, 4, 1000000, 1000000] x"))
    done = bibench("inspect", path, cwd=tmp_path)
    assert is_clean(done.stderr), done.stderr
    assert done.returncode == 2
    assert "onnxruntime can't execute it" in done.stderr
    assert "optimize=False" in done.stderr
