"""``report --history``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.cli.app import app
from bibench_deploy.cli.console import guarded
from bibench_deploy.results import Store
from bibench_deploy.results.html.frame import shared
from support.history_sites import NIGHTS

Command = Callable[..., int]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in this process; its exit code."""

    def call(*arguments: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["bibench-deploy", "report", *arguments])
        return guarded(app)

    return call


def test_the_command_writes_it_and_says_where(filled_store: Store, report: Command, capfd: Any) -> None:
    assert report("--history", "out", "--store", filled_store.where) == 0
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"wrote out: 2 pages of {NIGHTS} nights, 7 files, ")
    assert Path("out/index.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json"], "are about the newest rows"),
        (["--html", "x.html"], "are about the newest rows"),
        (["--figure", "chips", "-o", "x.svg"], "are about the store, a figure is not"),
        (["--since", "2027-01-01"], "holds no such nights"),
        (["--device", "absent"], "nothing was measured in these nights"),
        (["--store", "empty.sqlite"], "holds no such nights"),
    ],
)
def test_wrong_usage_is_said(
    filled_store: Store, tmp_path: Path, report: Command, options: list[str], message: str, capfd: Any
) -> None:
    assert report("--history", "out", "--store", filled_store.where, *options) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_said_before_any_work(
    filled_store: Store, tmp_path: Path, report: Command, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    shared.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert report("--history", "out", "--store", filled_store.where) == 2
    assert "pip install 'bibench-deploy[charts]'" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
