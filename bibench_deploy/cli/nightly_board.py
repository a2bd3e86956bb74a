"""What ``nightly`` shows while a night is under way: a live board on a terminal, timestamped lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from bibench_deploy.cli import console
from bibench_deploy.nightly.estimate import duration
from bibench_deploy.nightly.events import (
    DeviceFailed,
    Doing,
    Done,
    Event,
    JobFailed,
    Now,
    Planned,
    Stage,
    Turned,
)
from bibench_deploy.nightly.telling import counted
from bibench_deploy.profile_plan import Said

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from bibench_deploy.results.job import JobSpec

#: Of more devices only those are shown that do something, or are ill.
MOST_DEVICES = 40
#: Lines of a terminal that the board leaves to the shell's prompt and its own head.
_OTHER_LINES = 5
_STYLES: Mapping[Doing, str] = {
    Doing.MEASURING: "green",
    Doing.CONFIRMING: "cyan",
    Doing.OPENING: "dim",
    Doing.WAITING: "dim",
    Doing.RESTING: "yellow",
    Doing.QUARANTINED: "red",
    Doing.ENDED: "dim",
}
#: What a maintainer looks for comes first.
_ORDER = (
    Doing.QUARANTINED,
    Doing.RESTING,
    Doing.CONFIRMING,
    Doing.MEASURING,
    Doing.OPENING,
    Doing.WAITING,
    Doing.ENDED,
)
_QUIET = frozenset({Doing.WAITING, Doing.ENDED})
_WARNING = "warning: "

Clock = Callable[[], float]


@dataclass
class Line:
    """One device.

    Attributes:
        before: jobs that were finished when this start of the night began.
        job_s: how long a job is expected to take, until some are finished; None where nobody knows.
        since: when it was first at work, s.
    """

    name: str
    total: int = 0
    done: int = 0
    failed: int = 0
    before: int = 0
    failures: int = 0
    doing: Doing = Doing.WAITING
    words: str = ""
    since: float | None = None
    job_s: float | None = None

    @property
    def left(self) -> int:
        """Jobs that are not finished."""
        return self.total - self.done - self.failed

    def left_s(self, now: float) -> float | None:
        """How long the rest takes if it goes on as it did; None where nothing is known yet."""
        if self.left == 0 or self.doing is Doing.QUARANTINED:
            return 0.0
        finished = self.done + self.failed - self.before
        if finished <= 0 or self.since is None:
            return self.job_s and self.job_s * self.left
        return (now - self.since) / finished * self.left


@dataclass
class Board:
    """The state of a night, put together out of its events.

    Attributes:
        title: of the night.
        devices: by name, in the order of the plan.
    """

    title: str
    clock: Clock = time.monotonic
    devices: dict[str, Line] = field(default_factory=dict)
    stage: str = ""

    def take(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Stage):
            self.stage = event.words
            return
        if isinstance(event, Planned):
            self.stage = ""
            for job in event.jobs:
                line = self._line(job.spec.device)
                line.total += 1
                line.done += job.state == "done"
                line.failed += job.state == "failed"
                line.before = line.done + line.failed
                line.job_s = event.job_s.get(line.name)
            return
        line = self._line(event.device)
        if isinstance(event, Now):
            line.doing, line.words = event.doing, event.words
            if event.doing is Doing.MEASURING and line.since is None:
                line.since = self.clock()
        elif isinstance(event, Said) and not event.message.startswith(_WARNING):
            line.words = event.message.removeprefix(f"{line.name}: ")
        elif isinstance(event, Turned):
            line.words = f"{short(event.spec)} · {event.runs} runs"
        elif isinstance(event, Done):
            line.done += 1
        elif isinstance(event, JobFailed):
            line.failed += not event.again
        elif isinstance(event, DeviceFailed):
            line.failures = event.failures

    def shown(self, most: int = MOST_DEVICES) -> tuple[list[Line], int]:
        """The devices that are shown, and how many are not."""
        lines = list(self.devices.values())
        if len(lines) > most:
            busy = [line for line in lines if line.doing not in _QUIET or line.failures]
            lines = sorted(busy, key=lambda line: _ORDER.index(line.doing))[:most]
        return lines, len(self.devices) - len(lines)

    def whole(self) -> str:
        """The whole night in a line."""
        lines = list(self.devices.values())
        if not lines:
            return f"{self.title}: {self.stage or 'beginning'}"
        done, failed, total = (sum(values) for values in zip(*map(_counts, lines), strict=True))
        parts = [f"{done}/{total} done"] + ([f"{failed} failed"] if failed else [])
        known = [line.left_s(self.clock()) for line in lines]
        if any(known):
            parts.append(f"about {duration(max(filter(None, known)))} left")
        ill = sum(line.doing is Doing.QUARANTINED for line in lines)
        if ill:
            parts.append(f"{ill} quarantined")
        text = f"{self.title}: {', '.join(parts)}"
        return f"{text} · {self.stage}" if self.stage else text

    def draw(self, most: int = MOST_DEVICES) -> RenderableType:
        """The night's line and a line for each device."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        lines, hidden = self.shown(most)
        head = Text(self.whole(), style="bold", overflow="ellipsis", no_wrap=True)
        if not lines:
            return head
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, show_header=True)
        table.add_column("device", no_wrap=True, max_width=16)
        table.add_column("state", no_wrap=True, min_width=11)
        table.add_column("now", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("done", justify="right", no_wrap=True)
        table.add_column("failed", justify="right", no_wrap=True)
        table.add_column("left", justify="right", no_wrap=True, min_width=6)
        for line in lines:
            table.add_row(*self._cells(line))
        more = [Text(f"and {hidden} more that wait or have ended", style="dim")] if hidden else []
        return Group(head, table, *more)

    def _cells(self, line: Line) -> list[Text]:
        from rich.text import Text

        left = line.left_s(self.clock())
        failed = f"{line.failed}" + (f" +{line.failures}×" if line.failures else "")
        return [
            Text(line.name),
            Text(str(line.doing), style=_STYLES[line.doing]),
            Text(line.words.replace("\n", " ")),
            Text(f"{line.done}/{line.total}"),
            Text(failed, style="red" if line.failed or line.failures else "dim"),
            Text(duration(left) if left else "?" if left is None else ""),
        ]

    def _line(self, device: str) -> Line:
        return self.devices.setdefault(device, Line(device))


def _counts(line: Line) -> tuple[int, int, int]:
    return line.done, line.failed, line.total


def short(spec: JobSpec) -> str:
    """A job in as few words as a board has room for."""
    cores = f" {spec.cpus}" if spec.cpus else ""
    return f"{spec.model} {spec.engine} ×{spec.threads}{cores} {spec.variant}"


def line_of(event: Event) -> str | None:
    """An event as a line of a log; None for what would be too many."""
    match event:
        case Stage(words):
            return words
        case Planned(jobs):
            finished = sum(job.state in ("done", "failed") for job in jobs)
            devices = len({job.spec.device for job in jobs})
            before = f", {finished} of them finished before" if finished else ""
            return f"{counted(len(jobs), 'job')} on {counted(devices, 'device')}{before}"
        case Now(device, doing, words):
            return None if doing is Doing.MEASURING else f"{device}: {doing}{f': {words}' if words else ''}"
        case Said(device, message):
            return message if message.startswith(f"{device}") else f"{device}: {message}"
        case Done(device, spec, words):
            return f"{device}: {short(spec)}: {words}"
        case JobFailed(device, spec, said, again):
            return f"{device}: {short(spec)}: {'failed, once more' if again else 'FAILED'}: {said}"
        case DeviceFailed(device, failures, said):
            return f"{device}: failure {failures} of the device: {said}"
    return None


#: On a terminal these are kept above the board; all else is on it.
_KEPT = (JobFailed, DeviceFailed)


@contextmanager
def board(title: str, screen: Console | None = None) -> Iterator[Callable[[Event], None]]:
    """Shows a night for as long as the block runs; gives what its events are told to."""
    screen = screen or console.stderr()
    if not screen.is_terminal:
        yield lambda event: _log(screen, event)
        return
    from rich.live import Live

    state, lock = Board(title), Lock()

    def draw() -> RenderableType:
        with lock:
            return state.draw(min(MOST_DEVICES, max(1, screen.height - _OTHER_LINES)))

    with Live(get_renderable=draw, console=screen, refresh_per_second=4, transient=True):

        def watch(event: Event) -> None:
            with lock:
                state.take(event)
            if isinstance(event, _KEPT) or (isinstance(event, Said) and event.message.startswith(_WARNING)):
                _log(screen, event)

        yield watch


def _log(screen: Console, event: Event) -> None:
    text = line_of(event)
    if text is not None:
        now = datetime.now().astimezone()
        screen.print(f"{now:%H:%M:%S} {text}", markup=False, highlight=False, soft_wrap=True)
