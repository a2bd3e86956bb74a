"""Several devices at once: a thread each, and one place where all that happens there arrives."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from bibench_deploy.runners.device.stopping import Stopped

#: After Ctrl-C a device's present step is waited for so long, s. A turn takes a second; what takes longer ends by
#: itself on the device, which hears no more of us.
LEAVE_S = 15.0

Event = TypeVar("Event")
#: What is done on one device; it is given what to tell events to.
Work = Callable[[Callable[[Event], None]], None]


@dataclass(frozen=True)
class _Told(Generic[Event]):
    event: Event


@dataclass(frozen=True)
class _Left:
    """A device is done with; ``error`` is what ended it."""

    name: str
    error: BaseException | None


def side_by_side(
    works: Mapping[str, Work[Event]], handle: Callable[[Event], None], stop: threading.Event
) -> None:
    """Do all works at the same time; their events are handled in this thread, one after the other.

    Args:
        works: by the device's name.
        stop: set when this ends early, so that the works do.

    Raises:
        BaseException: what a work or ``handle`` raised, and KeyboardInterrupt: after the others have ended, too, or
            a while later. A work that ends with ``Stopped`` was told to.
    """
    events: queue.SimpleQueue[_Told[Event] | _Left] = queue.SimpleQueue()

    def done(name: str, work: Work[Event]) -> None:
        error: BaseException | None = None
        try:
            work(lambda event: events.put(_Told(event)))
        except Stopped:
            error = None
        except BaseException as raised:  # shown by the main thread, as any bug is
            error = raised
        events.put(_Left(name, error))

    busy = set(works)

    def take(timeout_s: float | None) -> None:
        try:
            event = events.get(timeout=timeout_s)
        except queue.Empty:
            return
        if isinstance(event, _Told):
            handle(event.event)
            return
        busy.discard(event.name)
        if event.error is not None:
            raise event.error

    for name, work in works.items():
        threading.Thread(target=done, args=(name, work), name=name, daemon=True).start()
    try:
        while busy:
            take(None)
    except BaseException:
        stop.set()
        until = time.monotonic() + LEAVE_S
        while busy and time.monotonic() < until:
            with suppress(Exception):  # the first error is the one that is told
                take(until - time.monotonic())
        raise
