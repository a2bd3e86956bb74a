"""How a command ends: one message, what else went wrong besides, and an exit code."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from bibench_deploy.cli import console
from bibench_deploy.errors import StoreError
from support.command import bibench

FULL = StoreError("the disk is full", where="results.sqlite", remedy="free some space")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ["interrupted; nothing half-written was left"]),
        (FULL, 3, ["error: results.sqlite: the disk is full", "  what to do: free some space"]),
        (
            OSError(5, "Input/output error", "a.npz"),
            3,
            ["error: a.npz: [Errno 5] Input/output error: 'a.npz'"],
        ),
        (
            TypeError("no str"),
            70,
            [
                "internal error (TypeError: no str)",
                "this is a bug of bibench-deploy; run again with --debug and report the traceback",
            ],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_went_wrong_besides_is_said_too(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: list[str],
) -> None:
    """Through typer, which makes something of its own of Ctrl-C."""
    error.add_note("rpi4: its last row was not kept")
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(console.settings, "debug", False)
    assert console.guarded(lambda: app([])) == code
    shown = [line for line in capsys.readouterr().err.splitlines() if line]
    assert sorted(shown) == sorted([*said, "  besides: rpi4: its last row was not kept"])


def test_an_interrupt_inside_of_exec_ends_with_the_same_code(tmp_path: Path) -> None:
    """As it may meet a library that writes its classes while it is imported: Python remembers it with -m."""
    (tmp_path / "interrupted.py").write_text(
        "import sys\n"
        "from bibench_deploy.cli import console\n"
        "sys.exit(console.guarded(lambda: exec('raise KeyboardInterrupt')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"interrupted; nothing half-written was left\n")


def test_help_breaks_lines_where_the_terminal_ends_alone(tmp_path: Path) -> None:
    shown = bibench("profile", "--help", cwd=tmp_path, COLUMNS="70").stdout
    text = shown[shown.index("Each artefact") : shown.index("╭─ Arguments")]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert len(lines) > 3
    for line, following in pairwise(lines):
        assert len(f"{line} {following.split()[0]}") > 68, text
