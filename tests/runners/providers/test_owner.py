"""Names by which a lab knows us: unique, and they tell who is dead."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bibench_deploy.runners.providers import owner
from bibench_deploy.runners.providers.owner import is_dead, own_name


def test_a_name_is_host_and_user_as_labgrids_and_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LG_HOSTNAME", "control/1")
    monkeypatch.setenv("LG_USERNAME", "anna b")
    names = {own_name() for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("control_1/anna_b+bibench-") for name in names)
    assert all(name.count("/") == 1 for name in names)  # labgrid-client takes it apart there


def test_who_lives_is_not_dead() -> None:
    assert not is_dead(own_name())


def test_who_has_ended_is_dead_also_when_the_number_is_used_again() -> None:
    code = "from bibench_deploy.runners.providers.owner import own_name; print(own_name())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    theirs = done.stdout.strip()
    assert is_dead(theirs)
    head, _, start, count = theirs.rsplit("-", 3)
    assert is_dead(f"{head}-{os.getpid()}-{start}-{count}")  # that process started at another time


@pytest.mark.parametrize("name", ["desk/anna", "", "desk/anna+bibench-00000000-1-1-1", "x+bibench-1-1-1"])
def test_others_are_never_dead(name: str) -> None:
    """People, and processes of other machines: their numbers mean nothing here."""
    assert not is_dead(name)


def test_without_proc_nobody_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_started", lambda process: None)
    assert not is_dead(own_name())
