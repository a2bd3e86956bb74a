from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.errors import EngineError
from suite.cases import NATIVE, Case, UnavailableError
from suite.machine import QUIET, Watch, busy_share
from suite.rounds import measure, order

CASES = [Case(NATIVE, "resnet18", "dorefa", threads) for threads in range(1, 8)]


@given(st.integers(1, 40), st.integers(0, 100))
def test_every_case_has_one_turn_a_round(count: int, round_: int) -> None:
    cases = [Case(NATIVE, "m", "v", threads) for threads in range(count)]
    assert Counter(order(cases, round_)) == Counter(cases)


def test_no_case_always_follows_the_same_other_one() -> None:
    before: dict[Case, set[Case]] = {}
    for round_ in range(6):
        turns = list(order(CASES, round_))
        for first, second in pairwise(turns):
            before.setdefault(second, set()).add(first)
    assert all(len(others) > 1 for others in before.values())


class Steady:
    """A peer in memory: it fails in its n-th turn."""

    def __init__(self, fails_in: int | None = None) -> None:
        self.kernel: str | None = "k"
        self.turns, self.closed, self._fails_in = 0, False, fails_in

    def block(self, seconds: float) -> Sequence[float]:
        self.turns += 1
        if self.turns == self._fails_in:
            raise EngineError("crashed")
        return [seconds, seconds]

    def close(self) -> None:
        self.closed = True


def test_who_fails_is_left_out_and_the_others_go_on() -> None:
    peers = {CASES[0]: Steady(), CASES[1]: Steady(fails_in=2), CASES[3]: Steady()}

    def open_peer(case: Case) -> Steady:
        if case not in peers:
            raise UnavailableError("not installed")
        return peers[case]

    found = measure(CASES[:4], 3, 0.5, open_peer, Watch())
    assert {case: sorted(blocks) for case, blocks in found.blocks.items()} == {
        CASES[0]: [0, 1, 2],
        CASES[3]: [0, 1, 2],
    }
    assert "crashed" in found.missing[CASES[1]]
    assert "not installed" in found.missing[CASES[2]]
    assert all(peer.closed for peer in peers.values())


def stat(user: int, idle: int, iowait: int, steal: int) -> str:
    """A reading of /proc/stat in ticks; its further lines are of single cores."""
    return f"cpu  {user} 0 0 {idle} {iowait} 0 0 {steal} 0 0\ncpu0 1 2 3 4\n"


@pytest.mark.parametrize(
    ("later", "share"),
    [
        (stat(100, 160, 0, 0), 0.0),
        (stat(130, 130, 0, 0), 0.5),
        (stat(100, 100, 60, 0), 0.0),
        (stat(100, 145, 0, 15), 0.25),
        (stat(100, 100, 0, 0), 0.0),
    ],
)
def test_the_share_that_others_use_counts_stolen_time_and_not_waiting(later: str, share: float) -> None:
    assert busy_share(stat(100, 100, 0, 0), later) == pytest.approx(share)


@pytest.mark.parametrize(("loud", "disturbed"), [(0, False), (2, False), (3, True)])
def test_a_run_is_disturbed_when_more_than_a_quarter_of_its_rounds_was(loud: int, disturbed: bool) -> None:
    watch = Watch(others=[QUIET * 2] * loud + [0.0] * (8 - loud), loads=[1.0] * 8)
    assert watch.disturbed == disturbed
    assert f"before {loud} rounds" in watch.summary()
