"""./run on machines that lack something: it says what, and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TOOLS = ("bash", "env", "cat", "dirname", "rm", "sed", "mkdir")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout with nothing but the script, and bin/, a PATH with a shell's tools but no Python."""
    shutil.copy(CHECKOUT / "run", tmp_path / "run")
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return tmp_path


def add_python(machine: Path, name: str, prelude: str) -> None:
    """An interpreter that answers the script after a prelude, which pretends to be another machine."""
    wrapper = machine / "bin" / name
    code = f"import sys; {prelude}; exec(sys.stdin.read())"
    wrapper.write_text(f'#!{shutil.which("bash")}\nexec {sys.executable} -c "{code}"\n', encoding="utf-8")
    wrapper.chmod(0o755)


def call(machine: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)} | variables
    return subprocess.run(
        [str(machine / "run"), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_no_python_at_all(machine: Path) -> None:
    done = call(machine, "lint")
    assert done.returncode == 2
    assert "no usable Python 3.11 or 3.12 was found" in done.stderr
    assert "what to do: install one, or set BIBENCH_PYTHON" in done.stderr


def test_only_another_version(machine: Path) -> None:
    add_python(machine, "python3", "sys.version_info = (3, 13, 0)")
    done = call(machine, "test")
    assert done.returncode == 2
    assert "python3 is Python 3.13" in done.stderr


def test_a_python_without_venv(machine: Path) -> None:
    add_python(machine, "python3.12", "sys.version_info = (3, 12, 1); sys.modules['ensurepip'] = None")
    done = call(machine, "demo")
    assert done.returncode == 2
    assert (
        "python3.12 is Python 3.12 without venv (Debian, Ubuntu: apt install python3.12-venv)" in done.stderr
    )


def test_a_version_managers_shim_that_does_not_run(machine: Path) -> None:
    add_python(machine, "python3.11", "sys.exit(127)")
    done = call(machine, "lint")
    assert done.returncode == 2
    assert "python3.11 does not run" in done.stderr


def test_a_chosen_python_that_is_unfit_is_not_replaced_by_another(machine: Path) -> None:
    add_python(machine, "python3.11", "pass")
    done = call(machine, "lint", BIBENCH_PYTHON="/nowhere/python")
    assert done.returncode == 2
    assert "BIBENCH_PYTHON=/nowhere/python does not run" in done.stderr
    assert not (machine / ".venv").exists()


@pytest.mark.parametrize("arguments", [[], ["bogus"]])
def test_anything_else_shows_the_usage(machine: Path, arguments: list[str]) -> None:
    done = call(machine, *arguments)
    assert done.returncode == 2
    assert "usage: ./run demo" in done.stderr


def test_help(machine: Path) -> None:
    done = call(machine, "--help")
    assert done.returncode == 0
    assert "./run test [pytest args]" in done.stdout


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_the_scripts_can_be_executed_and_parse(script: str) -> None:
    assert os.access(CHECKOUT / script, os.X_OK)
    subprocess.run(["bash", "-n", str(CHECKOUT / script)], check=True)
