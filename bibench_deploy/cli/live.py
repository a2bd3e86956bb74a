"""What ``profile`` shows while it measures: a line for each device, on stderr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bibench_deploy.cli import console
from bibench_deploy.cli.targets import LOCAL
from bibench_deploy.profile_plan import Event, Failed, Finished, Said, Turned

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_WARNING = "warning: "


class Live:
    """Watches the events of ``profiling.profile``.

    Args:
        bar: shows the lines.
        jobs: device → how many jobs it has.
    """

    def __init__(self, bar: Progress, jobs: Mapping[str, int]) -> None:
        self._bar = bar
        self._several = len(jobs) > 1
        self._tasks: dict[str, TaskID] = {
            device: bar.add_task(
                self._line(device, "connecting" if device != "local" else "measuring"), total=count
            )
            for device, count in jobs.items()
        }

    def __call__(self, event: Event) -> None:
        """Show an event."""
        task = self._tasks[event.device]
        if isinstance(event, Said):
            if event.message.startswith(_WARNING):
                self.warn(event.device, event.message.removeprefix(_WARNING))
            else:
                self._bar.update(task, description=self._line(event.device, event.message))
                self._bar.console.print(event.message, markup=False, style="dim", soft_wrap=True)
        elif isinstance(event, Turned):
            text = f"{event.job.artefact.name}, threads {event.job.threads}: {event.runs} runs"
            self._bar.update(task, description=self._line(event.device, text))
        elif isinstance(event, Finished):
            self._bar.advance(task)
            # Where no bar is seen (a file, CI), each finished row of a device is a sign of life.
            if event.device != LOCAL and not self._bar.console.is_terminal:
                row = event.row
                text = f"{event.device}: {row.file}, threads {row.threads}: {row.state.replace('_', ' ')}"
                self._bar.console.print(text, markup=False, soft_wrap=True)
        elif isinstance(event, Failed):
            self._bar.update(task, description=self._line(event.device, "failed"))

    def warn(self, device: str, message: str) -> None:
        """A warning about one device."""
        console.warn(f"{device}: {message}" if self._several else message)

    def _line(self, device: str, text: str) -> str:
        from rich.markup import escape

        return escape(f"{device}: {text}" if self._several and not text.startswith(f"{device}:") else text)


@contextmanager
def live(jobs: Mapping[str, int]) -> Iterator[Live]:
    """The lines of some devices, for as long as the block runs."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.stderr(), transient=True) as bar:
        yield Live(bar, jobs)
