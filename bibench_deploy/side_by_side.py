"""Several devices at once: a thread each, and one place where all that happens there arrives."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from bibench_deploy.errors import in_a_line
from bibench_deploy.runners.device.stopping import Stopped

#: After Ctrl-C a device's present step is waited for so long, s. A turn takes a second; what takes longer ends by
#: itself on the device, which hears no more of us.
LEAVE_S = 15.0

Event = TypeVar("Event")
#: What is done on one device; it is given what to tell events to.
Work = Callable[[Callable[[Event], None]], None]


@dataclass(frozen=True)
class _Told(Generic[Event]):
    name: str
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
        BaseException: what a work or ``handle`` raised first, or KeyboardInterrupt: after the others have ended,
            too, or a while later. What went wrong until then is in its notes (PEP 678), each with the device's
            name: a row that came in and could not be stored, a device that did not end. A work that ends with
            ``Stopped`` was told to.
    """
    events: queue.SimpleQueue[_Told[Event] | _Left] = queue.SimpleQueue()

    def done(name: str, work: Work[Event]) -> None:
        error: BaseException | None = None
        try:
            work(lambda event: events.put(_Told(name, event)))
        except Stopped:
            error = None
        except BaseException as raised:  # raised again by the main thread
            error = raised
        events.put(_Left(name, error))

    busy: dict[str, None] = {}  # in the order of the works

    def take(news: _Told[Event] | _Left) -> None:
        if isinstance(news, _Told):
            handle(news.event)
            return
        del busy[news.name]
        if news.error is not None:
            raise news.error

    def leave(first: BaseException) -> None:
        """Wait until the works have ended; what goes wrong meanwhile must neither end the waiting nor be lost."""
        until = time.monotonic() + LEAVE_S
        while busy and (left_s := until - time.monotonic()) > 0:
            try:
                news = events.get(timeout=left_s)
                take(news)
            except queue.Empty:
                break
            except KeyboardInterrupt:  # asked for twice: nobody wants to wait
                break
            except BaseException as error:
                _note(first, f"{news.name}: {in_a_line(error)}")
        for name in busy:
            _note(first, f"{name}: was still at work; what it measured since then is not kept")

    try:
        for name, work in works.items():
            threading.Thread(target=done, args=(name, work), name=name, daemon=True).start()
            busy[name] = None
        while busy:
            take(events.get())
    except BaseException as first:
        stop.set()
        leave(first)
        raise


def _note(error: BaseException, words: str) -> None:
    """Each once: a terminal that is gone fails for every event."""
    if words not in getattr(error, "__notes__", ()):
        error.add_note(words)
