"""A device that is opened for a night: what can be done with it, and how long it is waited for."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from bibench_deploy.profile_plan import Place

Say = Callable[[str], None]


class Exchangeable(Place, Protocol):
    """A place where another program of an engine can be executed, too."""

    def with_program(self, engine: str, path: Path) -> Place:
        """The same place, with another program of an engine."""
        ...


@dataclass(frozen=True)
class Opened:
    """A device that is open, and ours.

    Attributes:
        check: raises a DeviceError if it is ours no more; asked before what was measured is kept.
    """

    place: Exchangeable
    check: Callable[[], None] = lambda: None


class Opens(Protocol):
    """Opens a device for as long as a block runs; what makes it unusable is an error of opening it."""

    def __call__(self, cpus: str | None, say: Say, stop: threading.Event) -> AbstractContextManager[Opened]:
        """Open it.

        Args:
            cpus: cores that engines are pinned to; None for no pinning.
            say: told what happens, in words.
            stop: set when the command is to be ended.

        Raises:
            DeviceError: it can't be used; counts as a failure of the device.
            InputError: the device has no such cores; concerns the jobs that ask for them.
            Stopped: told to.
        """
        ...


class Waiting(threading.Event):
    """Ends with the command, and, as long as a device is only waited for, with the night's budget.

    Args:
        stop: set when the command is to be ended.
        until: the end of the budget; None for no end.
    """

    def __init__(self, stop: threading.Event, until: datetime | None) -> None:
        super().__init__()
        self._stop, self._until = stop, until

    def is_over(self) -> None:
        """What was waited for is there: what is begun is ended."""
        self._until = None

    def is_set(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._stop.is_set() or self._left_s() <= 0

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so many seconds, or until nobody is to."""
        left = self._left_s()
        shorter = left if timeout is None else min(timeout, left)
        self._stop.wait(None if shorter == math.inf else max(0.0, shorter))
        return self.is_set()

    def _left_s(self) -> float:
        if self._until is None:
            return math.inf
        return (self._until - datetime.now(self._until.tzinfo)).total_seconds()
