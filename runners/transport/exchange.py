"""One script over one wire: send, beat, collect, and decide what happened."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from bibench_deploy.errors import (
    ConnectionLostError,
    DeviceError,
    DeviceUnfitError,
    PermanentDeviceError,
    StepTimeoutError,
)

from .base import Completed
from .shell import BEAT_S, GRACE_S, Frame, Request

# Time for a login shell to start, with all that its start-up files do, s: seconds on an emulated or swapping board.
START_S = 30.0

# What a script may print: results are JSON lines or one tensor, and what never ends must not fill our memory.
MAX_OUTPUT_BYTES = 1 << 30

# How much of a device's own words is quoted in a message, characters.
_QUOTED = 300

_PIECE = 1 << 16


class Wire(Protocol):
    """Standard input, output and error of one command on a device; each in use by a thread of its own."""

    def send(self, data: bytes) -> None:
        """Raises OSError or EOFError when the command or the link is gone."""

    def close_input(self) -> None:
        """Let the command see the end of its input. Never raises, never blocks."""

    def receive(self, stream: int) -> bytes:
        """Some bytes of stream 1 or 2, none at its end, which a lost link is too."""

    def exit_status(self) -> int | None:
        """Of the login shell, once both streams have ended; None if none came: a signal, or the link."""

    def close(self, ended: bool) -> None:
        """Give it up: blocked calls return, within seconds. Never raises.

        Args:
            ended: whether the command is known to be over; if not, the link is in doubt.
        """


@dataclass(frozen=True)
class Ending:
    """How an exchange came to its end.

    Attributes:
        out, err: the two frames.
        exit_status: of the login shell; None if none came.
        overdue: nothing more was waited for.
        flooded: it printed more than ``MAX_OUTPUT_BYTES``.
    """

    out: Frame
    err: Frame
    exit_status: int | None = None
    overdue: bool = False
    flooded: bool = False


def exchange(
    wire: Wire, request: Request, stdin: bytes, *, timeout_s: float, device: str, step: str
) -> Completed:
    """Run a request over a wire, and close the wire.

    On whatever ends it early (a limit, Ctrl-C) the device sees the end of its input and stops the script.

    Raises:
        DeviceError: see ``Transport.run``.
    """
    stop = threading.Event()
    arrived: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
    frames = {1: Frame(request.mark), 2: Frame(request.mark)}
    _start(partial(_send, wire, request.program + stdin, stop))
    for stream in frames:
        _start(partial(_receive, wire, stream, arrived))
    ending_known = False
    try:
        ending = _collect(wire, frames, arrived, timeout_s)
        ending_known = ending.exit_status is not None
    finally:
        stop.set()
        wire.close_input()
        _linger(frames, arrived)
        wire.close(ended=frames[1].ended or ending_known)
    return decide(ending, timeout_s=timeout_s, device=device, step=step)


def decide(ending: Ending, *, timeout_s: float, device: str, step: str) -> Completed:
    """What a script did, or why that is not known. Pure.

    Raises:
        DeviceError: see ``Transport.run``.
    """
    error = _failure(ending, timeout_s)
    if error is not None:
        kind, message, remedy = error
        raise kind(message, device=device, step=step or None, remedy=remedy)
    return Completed(int(ending.out.trailer[0]), bytes(ending.out.payload), bytes(ending.err.payload))


def _failure(ending: Ending, timeout_s: float) -> tuple[type[DeviceError], str, str] | None:
    out = ending.out
    if ending.flooded:
        return (
            PermanentDeviceError,
            f"printed more than {MAX_OUTPUT_BYTES >> 20} MiB",
            "look at what it prints",
        )
    if not out.begun:
        return _not_begun(ending)
    stopped = len(out.trailer) > 1
    if ending.overdue:
        return (
            StepTimeoutError,
            f"not done within {timeout_s:g} s" + ("; the device stopped it" if stopped else ""),
            "see whether the device is busy or hangs, then run it again",
        )
    if stopped or not out.ended:
        return (
            ConnectionLostError,
            "the device heard nothing of us for a while and stopped" if stopped else "the connection broke",
            "check power and network of the device, then run it again",
        )
    return None


def _not_begun(ending: Ending) -> tuple[type[DeviceError], str, str]:
    said = _words(ending)
    if ending.overdue:
        return (
            StepTimeoutError,
            f"the account's login shell did not start our program within {START_S:g} s{said}",
            "log in by hand and see what hangs: a start-up file, a forced command, a full memory",
        )
    if ending.exit_status is None:
        return (
            ConnectionLostError,
            f"the connection broke before the first command{said}",
            "check power and network of the device, then run it again",
        )
    return (
        DeviceUnfitError,
        f"the account runs no commands for us: exit status {ending.exit_status}{said or ', no word'}",
        "use an account with a login shell and without a forced command, and with sh in its PATH",
    )


def _words(ending: Ending) -> str:
    """What the device said instead, for a message."""
    text = (ending.out.noise + b" " + ending.err.noise).decode("utf-8", "replace")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"; it said: {text[:_QUOTED]}" if text else ""


def _collect(
    wire: Wire, frames: dict[int, Frame], arrived: queue.SimpleQueue[tuple[int, bytes]], timeout_s: float
) -> Ending:
    open_streams = set(frames)
    deadline = time.monotonic() + START_S
    begun = False
    while open_streams and not all(frame.ended for frame in frames.values()):
        try:
            stream, data = arrived.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return Ending(frames[1], frames[2], overdue=True)
        if data:
            frames[stream].feed(data)
        else:
            frames[stream].close()
            open_streams.discard(stream)
        if frames[1].begun and not begun:
            begun = True
            deadline = time.monotonic() + timeout_s
        if sum(len(frame.payload) for frame in frames.values()) > MAX_OUTPUT_BYTES:
            return Ending(frames[1], frames[2], flooded=True)
    status = None if open_streams else wire.exit_status()
    return Ending(frames[1], frames[2], exit_status=status)


def _linger(frames: dict[int, Frame], arrived: queue.SimpleQueue[tuple[int, bytes]]) -> None:
    """After the input was closed early: wait until the device says that the script is dead, if it still can."""
    deadline = time.monotonic() + GRACE_S + 2.0
    while frames[1].begun and not frames[1].ended:
        try:
            stream, data = arrived.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
        if stream == 1 and not data:
            return
        frames[stream].feed(data)


def _send(wire: Wire, data: bytes, stop: threading.Event) -> None:
    try:
        for start in range(0, len(data), _PIECE):
            wire.send(data[start : start + _PIECE])
        while not stop.wait(BEAT_S):
            wire.send(b"\n")
    except (OSError, EOFError):
        # The command or the link is gone; the receiving side sees that too, and decides what it means.
        return


def _receive(wire: Wire, stream: int, arrived: queue.SimpleQueue[tuple[int, bytes]]) -> None:
    data = b"-"
    while data:
        try:
            data = wire.receive(stream)
        except (OSError, EOFError):
            data = b""  # a broken link ends the stream; what it means is decided with what came before
        arrived.put((stream, data))


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()
