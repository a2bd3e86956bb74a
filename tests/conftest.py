"""Fixtures of several rooms, and which tests go first."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings
from lab.fixtures import another, converted, lab, linux_host, programs, rpi4, user

# A shell that starts the suite in the background has it ignore Ctrl-C, and so would the commands that it tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's affair, and it may be busy.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

__all__ = ["another", "converted", "lab", "linux_host", "programs", "rpi4", "user"]

#: These take longest, and wait more than they compute. As the first of all they are one process's, while the others
#: compute, and what is left to be shared out in the end is short.
FIRST = ("tests/lab/test_labgrid.py", "tests/lab/test_nightly.py", "tests/lab/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts them in order; nothing else changes its place."""
    items.sort(key=lambda item: [not item.nodeid.startswith(path) for path in FIRST])
