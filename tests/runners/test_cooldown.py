"""Waiting for a temperature: on machines that cool down, that don't, and that tell nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bibench_deploy.errors import InputError
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.cooldown import (
    LOOK_S,
    MOST_S,
    TOLD_S,
    WITHIN_C,
    Aim,
    Bound,
    CoolDown,
    Cooled,
    parse_bound,
)
from bibench_deploy.runners.timing import StopRule


class Machine:
    """Its hottest sensor shows these temperatures, one a look, the last for ever."""

    def __init__(self, *celsius: float | None) -> None:
        self._shown: Iterator[float | None] = iter(celsius)
        self.last: float | None = None
        self.slept: list[float] = []
        self.said: list[str] = []
        self.looks = 0

    def look(self) -> dict[str, float] | None:
        self.looks += 1
        self.last = next(self._shown, self.last)
        return None if self.last is None else {"cpu-thermal": self.last, "battery": self.last - 20}

    def cool_down(self, bound: Bound = Bound()) -> CoolDown:  # noqa: B008 - frozen
        return self.opened(Aim(bound))

    def opened(self, aim: Aim) -> CoolDown:
        return CoolDown(aim, self.look, self.slept.append, self.said.append, "rpi4")


def test_auto_goes_back_to_where_the_first_turn_began() -> None:
    machine = Machine(48.0, 60.0, 55.0, 51.0, 48.0 + WITHIN_C)
    waiting = machine.cool_down()
    waiting.wait()
    assert (machine.slept, machine.said) == ([], [])
    waiting.wait()
    assert machine.slept == [LOOK_S] * 3
    assert machine.said == [
        "rpi4: cpu-thermal is at 60.0 °C; waiting until it is back at 50.0 °C, at most 300 s"
    ]
    waiting.wait()
    assert len(machine.said) == 1


def test_a_given_temperature_holds_from_the_first_turn_on() -> None:
    machine = Machine(48.0, 44.9)
    machine.cool_down(Bound(45.0)).wait()
    assert machine.slept == [LOOK_S]


def test_a_machine_that_stays_hot_is_measured_after_a_while_and_not_waited_for_again() -> None:
    machine = Machine(48.0, 60.0)
    waiting = machine.cool_down()
    waiting.wait()
    waiting.wait()
    assert sum(machine.slept) == MOST_S
    still = "cpu-thermal is still at 60.0 °C after 300 s"
    assert machine.said[1:] == [f"warning: {still}: measuring goes on, and from now on that is waited for"]
    waiting.wait()
    assert sum(machine.slept) == MOST_S


def test_a_machine_that_is_opened_again_when_it_is_hot_goes_back_to_where_it_was_at_first() -> None:
    machine = Machine(48.0, 60.0, 50.0)
    aim = Aim(Bound())
    machine.opened(aim).wait()
    machine.opened(aim).wait()
    assert machine.slept == [LOOK_S]


def test_after_the_first_wait_only_a_long_one_is_told() -> None:
    """There is one a turn: a night would have thousands of lines."""
    long = int(TOLD_S / LOOK_S)
    machine = Machine(60.0, 45.0, 60.0, 45.0, *[59.0] * (long + 1), 45.0)
    waiting = machine.cool_down(Bound(45.0))
    waiting.wait()
    waiting.wait()
    assert len(machine.said) == 1
    waiting.wait()
    assert len(machine.said) == 2
    assert "is at 59.0 °C" in machine.said[1]


@pytest.mark.parametrize("bound", [Bound(), Bound(45.0)])
def test_without_a_sensor_it_is_said_once_and_nothing_is_waited_for(bound: Bound) -> None:
    machine = Machine(None)
    waiting = machine.cool_down(bound)
    waiting.wait()
    waiting.wait()
    assert machine.said == [
        "warning: the device tells no temperature: its turns don't wait for it to cool down"
    ]
    assert (machine.slept, machine.looks) == ([], 1)


def test_a_sensor_that_falls_silent_ends_the_wait() -> None:
    machine = Machine(48.0, 60.0, None)
    waiting = machine.cool_down()
    waiting.wait()
    waiting.wait()
    assert machine.slept == [LOOK_S]
    assert machine.said[-1].startswith("warning: the device tells no temperature")


@pytest.mark.parametrize(("text", "celsius"), [("auto", None), ("45", 45.0), (" 45.5", 45.5), ("0", 0.0)])
def test_bounds(text: str, celsius: float | None) -> None:
    assert parse_bound(text) == Bound(celsius)


@pytest.mark.parametrize("text", ["", "warm", "nan", "inf", "-1", "121", "45C"])
def test_no_bounds(text: str) -> None:
    with pytest.raises(InputError, match="no temperature to wait for"):
        parse_bound(text)


class Worker:
    statistic = "samples"
    warmup_runs = 3
    kernel: str | None = None

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.closed = False

    def turn(self, rule: StopRule) -> list[int]:
        self.kernel = "neon"
        return [len(self.machine.slept)]

    def context(self) -> RunContext:
        return RunContext(load_before=1.0)

    def close(self) -> None:
        self.closed = True


def test_a_worker_takes_its_turn_after_the_wait() -> None:
    machine = Machine(48.0, 60.0, 49.0)
    worker = Worker(machine)
    cooled = Cooled(worker, machine.cool_down())  # type: ignore[arg-type]
    assert (cooled.warmup_runs, cooled.statistic, cooled.kernel) == (3, "samples", None)
    assert [cooled.turn(StopRule()), cooled.turn(StopRule())] == [[0], [1]]
    assert (cooled.kernel, cooled.context().load_before) == ("neon", 1.0)
    cooled.close()
    assert worker.closed
