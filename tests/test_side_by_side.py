"""Works in threads of their own; whatever goes wrong in any of them, or with what they tell, is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from bibench_deploy import side_by_side as module
from bibench_deploy.errors import StoreError
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.side_by_side import Work, side_by_side

FULL = StoreError("the disk is full", where="results.sqlite", remedy="free some space")


def run(works: Mapping[str, Work[str]], handle: Callable[[str], None], stop: threading.Event) -> list[str]:
    """Run until the first error, and give it in words, with its notes."""
    try:
        side_by_side(works, handle, stop)
    except BaseException as error:
        return [type(error).__name__, *getattr(error, "__notes__", ())]
    return []


def until(stop: threading.Event, *told: str, error: Exception | None = None) -> Work[str]:
    """A work that begins with telling, waits until it has to stop, tells some more, and ends as it is told to."""

    def work(emit: Callable[[str], None]) -> None:
        emit("begun")
        assert stop.wait(60)
        for event in told:
            emit(event)
        raise error or Stopped

    return work


def interrupt_then(fails: Mapping[str, Exception]) -> Callable[[str], None]:
    """Ctrl-C at the first event; each later one fails as said."""
    came: list[str] = []

    def handle(event: str) -> None:
        came.append(event)
        if len(came) == 1:
            raise KeyboardInterrupt
        if event in fails:
            raise fails[event]

    return handle


def test_events_are_handled_in_the_callers_thread() -> None:
    seen: list[tuple[str, int]] = []
    works: dict[str, Work[str]] = {name: lambda emit, name=name: emit(name) for name in "abc"}  # type: ignore[misc]
    side_by_side(works, lambda event: seen.append((event, threading.get_ident())), threading.Event())
    assert sorted(seen) == [(name, threading.get_ident()) for name in "abc"]


def test_a_row_that_comes_in_after_ctrl_c_and_cannot_be_stored_is_told() -> None:
    stop = threading.Event()
    works = {"rpi4": until(stop, "a row", "another row")}
    handle = interrupt_then({"a row": FULL})
    assert run(works, handle, stop) == [
        "KeyboardInterrupt",
        "rpi4: results.sqlite: the disk is full; free some space",
    ]


@pytest.mark.parametrize("second", [ValueError("a bug"), FULL, SystemExit(3)])
def test_what_ends_another_device_after_the_first_error_is_told(second: Exception) -> None:
    stop = threading.Event()

    def first(emit: Callable[[str], None]) -> None:
        raise OSError("no thread")

    kind, note = run({"a": first, "b": until(stop, error=second)}, lambda event: None, stop)
    assert kind == "OSError"
    assert note.startswith("b: ")
    assert str(second).splitlines()[0] in note


def test_a_device_that_does_not_end_is_told_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_S", 0.2)
    stop, hangs = threading.Event(), threading.Event()

    def hanging(emit: Callable[[str], None]) -> None:
        emit("begun")
        hangs.wait(60)

    told = run({"hangs": hanging, "ends": until(stop)}, interrupt_then({}), stop)
    hangs.set()
    assert told == ["KeyboardInterrupt", "hangs: was still at work; what it measured since then is not kept"]


def test_a_second_ctrl_c_ends_the_waiting_and_hides_nothing() -> None:
    stop, hangs = threading.Event(), threading.Event()

    def hanging(emit: Callable[[str], None]) -> None:
        assert stop.wait(60)
        emit("a row")
        hangs.wait(60)

    handle = interrupt_then({"a row": KeyboardInterrupt()})  # type: ignore[dict-item]
    told = run({"ends": until(stop), "hangs": hanging}, handle, stop)
    hangs.set()
    assert told[0] == "KeyboardInterrupt"
    assert any(note.startswith("hangs: was still at work") for note in told[1:])


def test_what_fails_for_every_event_is_told_once() -> None:
    """As a terminal that was closed does; the devices are waited for nevertheless."""
    stop = threading.Event()
    works = {"rpi4": until(stop, *["turn"] * 100)}
    told = run(works, interrupt_then({"turn": OSError(5, "Input/output error")}), stop)
    assert told == ["KeyboardInterrupt", "rpi4: [Errno 5] Input/output error"]
