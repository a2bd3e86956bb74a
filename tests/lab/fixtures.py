"""The lab as pytest fixtures. `tests/conftest.py` offers them to every room's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .board import RPI4
from .built import cache_with_programs
from .device import SimulatedDevice
from .lab import Lab
from .machine import CannotSimulateError
from .models import tiny_workspace
from .setup import Setup
from .user import User

REQUIRED = (
    "BIBENCH_LAB_REQUIRED"  # set by .ci/run: there a lab that can't be had is a failure, not a reason to skip
)


class TestLab(Lab):
    """A lab whose missing parts skip the test that wants them."""

    __test__ = False

    def add(self, name: str, setup: Setup, *, profile: str, **entry: Any) -> SimulatedDevice:
        try:
            return super().add(name, setup, profile=profile, **entry)
        except CannotSimulateError as reason:
            if os.environ.get(REQUIRED):
                pytest.fail(f"{REQUIRED} is set, but the lab {reason}")
            pytest.skip(f"the lab {reason}")


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An empty lab; what a test adds goes off when the test ends."""
    with TestLab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture
def rpi4(lab: Lab) -> SimulatedDevice:
    """A Raspberry Pi 4 of that name in the lab, with AArch64 programs."""
    return lab.add("rpi4", Setup(board=RPI4), profile="rpi4")


@pytest.fixture
def linux_host(lab: Lab) -> SimulatedDevice:
    """A host of this machine's own architecture, named `linux`: quick, for what has nothing to do with ARM."""
    return lab.add("linux", Setup(), profile="generic-x86_64")


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that nobody has measured yet; to be copied."""
    return tiny_workspace(tmp_path_factory.mktemp("converted"))


@pytest.fixture(scope="session")
def programs() -> Path:
    """What a user's cache holds when `bibench-run` has been built for the lab's devices."""
    return cache_with_programs()


@pytest.fixture
def user(lab: Lab, tmp_path: Path, converted: Path, programs: Path) -> User:
    """Somebody with a small converted model, who uses the lab."""
    return User(lab, tmp_path / "user", converted, programs)


@pytest.fixture
def another(lab: Lab, tmp_path: Path, converted: Path, programs: Path) -> User:
    """Somebody else, with the same model."""
    return User(lab, tmp_path / "another", converted, programs)
