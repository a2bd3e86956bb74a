"""A device of a night that cools down before each turn; see ``runners.cooldown``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bibench_deploy.cool_place import CoolPlace, cool_down
from bibench_deploy.profile_plan import Place
from bibench_deploy.runners.cooldown import Aim, Bound, CoolDown

from .opening import Exchangeable, Opened, Opens, Say


class _CoolPlace(CoolPlace):
    """See ``opening.Exchangeable``."""

    def __init__(self, place: Exchangeable, waits: CoolDown) -> None:
        super().__init__(place, waits)
        self._exchangeable, self._waits = place, waits

    def with_program(self, engine: str, path: Path) -> Place:
        """The same place, as cool, with another program of an engine."""
        return CoolPlace(self._exchangeable.with_program(engine, path), self._waits)


def cooled(opens: Opens, bound: Bound | None, name: str) -> Opens:
    """What opens a device whose turns begin when it has cooled down; None for turns that don't wait.

    A night opens a device several times, the later times when it is hot: what is waited for is what was found when
    it was opened first.
    """
    if bound is None:
        return opens
    aim = Aim(bound)

    @contextmanager
    def opened(cpus: str | None, say: Say, stop: threading.Event) -> Iterator[Opened]:
        with opens(cpus, say, stop) as found:
            waits = cool_down(found.place, aim, say, stop, name)
            yield replace(found, place=_CoolPlace(found.place, waits))

    return opened
