"""Waiting until a machine is as cool as it was: for a temperature, not for a time.

A row is measured in turns, in rotation with the rows that it is compared with, so each turn is waited for: every
turn of every row begins at about the same temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bibench_deploy.errors import InputError

from .context import RunContext
from .measure import Statistic, Timed
from .timing import StopRule

AUTO = "auto"
#: °C above the first look that count as back: sensors of boards tell whole degrees or halves, and waver by one.
WITHIN_C = 2.0
#: A heatsink that was hot throughout takes minutes; what is not back then has another temperature to go back to.
MOST_S = 300.0
#: Between two looks, s: a die cools within seconds.
LOOK_S = 2.0
#: The first wait is told at once, each further one when it has lasted so long, s: there is one a turn.
TOLD_S = 20.0
#: What a bound can be, °C: no chip is run colder or hotter.
COLDEST, HOTTEST = 0.0, 120.0


@dataclass(frozen=True)
class Bound:
    """What is waited for: a temperature in °C; None for that of the beginning."""

    celsius: float | None = None

    def __str__(self) -> str:
        return AUTO if self.celsius is None else f"{self.celsius:g}"


def parse_bound(text: str) -> Bound:
    """``auto``, or a temperature in °C.

    Raises:
        InputError: neither.
    """
    if text.strip() == AUTO:
        return Bound()
    try:
        celsius = float(text)
    except ValueError:
        celsius = math.nan
    if not COLDEST <= celsius <= HOTTEST:
        raise InputError(
            f"'{text}' is no temperature to wait for",
            where="--cool-down",
            remedy=f"write auto, or degrees Celsius between {COLDEST:g} and {HOTTEST:g}",
        )
    return Bound(celsius)


@dataclass
class Aim:
    """What the turns of one machine wait for, in one opening of it or in several.

    Attributes:
        bound: what was asked for.
        until: °C; None before the first look.
        blind: whether the machine tells no temperature.
        told: whether somebody knows of it.
    """

    bound: Bound
    until: float | None = None
    blind: bool = False
    told: bool = False


class CoolDown:
    """Waits for one machine as long as it is open.

    Args:
        aim: what is waited for; its first look is noted there.
        look: the present temperatures by sensor, °C; None or empty where the machine has none to tell.
        pause: waits so many seconds.
        say: told what happens, in words.
        name: of the machine, for what is said.
    """

    def __init__(
        self,
        aim: Aim,
        look: Callable[[], Mapping[str, float] | None],
        pause: Callable[[float], None],
        say: Callable[[str], None],
        name: str,
    ) -> None:
        self._aim, self._look, self._pause, self._say, self._name = aim, look, pause, say, name

    def wait(self) -> None:
        """Until the hottest sensor is back at the bound, or the longest wait is over."""
        aim = self._aim
        hottest = self._hottest()
        if hottest is None:
            return
        sensor, celsius = hottest
        if aim.until is None:
            aim.until = celsius + WITHIN_C if aim.bound.celsius is None else aim.bound.celsius
        waited = 0.0
        told = False
        while celsius > aim.until:
            if waited >= MOST_S:
                still = f"{sensor} is still at {celsius:.1f} °C after {waited:.0f} s"
                self._say(f"warning: {still}: measuring goes on, and from now on that is waited for")
                aim.until = celsius
                return
            if not told and (waited >= TOLD_S or not aim.told):
                until = f"{aim.until:.1f} °C, at most {MOST_S:.0f} s"
                self._say(
                    f"{self._name}: {sensor} is at {celsius:.1f} °C; waiting until it is back at {until}"
                )
                aim.told = told = True
            self._pause(LOOK_S)
            waited += LOOK_S
            hottest = self._hottest()
            if hottest is None:
                return
            sensor, celsius = hottest

    def _hottest(self) -> tuple[str, float] | None:
        found = None if self._aim.blind else self._look()
        if not found:
            if not self._aim.blind:
                self._say(
                    "warning: the device tells no temperature: its turns don't wait for it to cool down"
                )
            self._aim.blind = True
            return None
        return max(found.items(), key=lambda item: item[1])


class Cooled:
    """A worker whose turns begin when its machine has cooled down: ``Timed`` of ``runners.measure``.

    Args:
        worker: takes the turns.
        cool_down: of its machine; the same for all of the machine's workers.
    """

    def __init__(self, worker: Timed, cool_down: CoolDown) -> None:
        self._worker, self._cool_down = worker, cool_down
        self.statistic: Statistic = worker.statistic
        self.warmup_runs = worker.warmup_runs
        self.kernel = worker.kernel

    def turn(self, rule: StopRule) -> list[int]:
        """Wait, then time runs until the rule says enough; ns.

        Raises:
            BibenchError: as the worker, and as looking at the temperature.
        """
        self._cool_down.wait()
        samples = self._worker.turn(rule)
        self.kernel = self._worker.kernel
        return samples

    def context(self) -> RunContext:
        """What was true from its opening to this moment."""
        return self._worker.context()

    def close(self) -> None:
        """End it."""
        self._worker.close()
