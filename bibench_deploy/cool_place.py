"""A place that cools down before each turn; see ``runners.cooldown``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from bibench_deploy.runners.cooldown import Aim, Bound, CoolDown, Cooled
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.runners.measure import Job, Timed
from bibench_deploy.runners.operators import Operator
from bibench_deploy.runners.workspace import Artefact

from .profile_plan import Place, Target


@runtime_checkable
class Thermometer(Protocol):
    """A place that tells how hot it is."""

    def temperatures(self) -> Mapping[str, float] | None:
        """°C by sensor; None where it has none to tell.

        Raises:
            DeviceError: the link, the lease.
        """
        ...


class CoolPlace:
    """See ``profile_plan.Place``.

    Args:
        place: where jobs are executed.
        cool_down: waits there.
    """

    def __init__(self, place: Place, cool_down: CoolDown) -> None:
        self._place, self._cool_down = place, cool_down
        self.host, self.cpus = place.host, place.cpus

    @property
    def pushed_bytes(self) -> int | None:
        """What had to be sent there so far."""
        return self._place.pushed_bytes

    def refuses(self, artefact: Artefact, threads: int) -> str | None:
        """Why an artefact can't be executed with so many threads; None if it can."""
        return self._place.refuses(artefact, threads)

    def open_worker(self, job: Job) -> Timed:
        """Open a job.

        Raises:
            BibenchError: it can't be executed.
        """
        return Cooled(self._place.open_worker(job), self._cool_down)

    def operators(self, job: Job) -> list[Operator]:
        """The layers of a job, timed one by one.

        Raises:
            BibenchError: it failed.
        """
        self._cool_down.wait()
        return self._place.operators(job)

    def facts(self, job: Job) -> dict[str, Any]:
        """Further fields of the row of a job that was measured."""
        return self._place.facts(job)


def cool_down(
    place: Place, aim: Aim, say: Callable[[str], None], stop: threading.Event, name: str
) -> CoolDown:
    """What waits at a place that is open.

    Args:
        aim: what is waited for.
        say: told what happens, in words.
        stop: ends a wait by ``Stopped``.
        name: of the device.
    """

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise Stopped

    look = place.temperatures if isinstance(place, Thermometer) else lambda: None
    return CoolDown(aim, look, pause, say, name)


def cooled(target: Target, bound: Bound) -> Target:
    """A target whose turns begin when it has cooled down."""

    @contextmanager
    def opened(say: Callable[[str], None], stop: threading.Event) -> Iterator[Place]:
        with target.opened(say, stop) as place:
            yield CoolPlace(place, cool_down(place, Aim(bound), say, stop, target.name))

    made: Callable[..., AbstractContextManager[Place]] = opened
    return replace(target, opened=made)
