"""Which nights are a baseline."""

from __future__ import annotations

import pytest

from bibench_deploy.errors import InputError
from bibench_deploy.nightly.baseline import MOST_NIGHTS, Baseline, choose, condensed
from bibench_deploy.nightly.finding import key_of
from bibench_deploy.nightly.levels import row_turns
from support.nights import found, night_of, row, rows

NIGHTS = [night_of(n, commit) for n, commit in enumerate(["a" * 40, "a" * 40, "b" * 40, "ab" * 20])]
TONIGHT = night_of(9)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (None, [0, 1, 2, 3]),
        ("last", [0, 1, 2, 3]),
        (f"night:{NIGHTS[2].name}", [2]),
        ("commit:aaaaaaa", [0, 1]),
        ("commit:BBBBBBBB", [2]),
        (f"commit:{'ab' * 20}", [3]),
    ],
)
def test_what_is_meant(text: str | None, numbers: list[int]) -> None:
    chosen = choose(text, NIGHTS[::-1], TONIGHT)
    assert [NIGHTS.index(night) for night in chosen.nights] == numbers
    assert chosen.named == (text not in (None, "last"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("night:2020-01-01", "no earlier night of this plan is night 2020-01-01"),
        ("commit:ccccccc", "no earlier night of this plan is commit ccccccc"),
        ("commit:aaa", "is no baseline"),
        ("yesterday", "is no baseline"),
        ("night:", "is no baseline"),
        ("last:3", "is no baseline"),
        ("", ""),
    ],
)
def test_a_wrong_choice_says_what_to_write(text: str, message: str) -> None:
    if not message:
        assert not choose(text, NIGHTS, TONIGHT).named
        return
    with pytest.raises(InputError, match=message) as error:
        choose(text, NIGHTS, TONIGHT)
    assert error.value.where == "--baseline"
    assert error.value.remedy


def test_an_ambiguous_commit_is_refused() -> None:
    nights = [night_of(0, "abcdef0" + "1" * 33), night_of(1, "abcdef0" + "2" * 33)]
    with pytest.raises(InputError, match="may mean"):
        choose("commit:abcdef0", nights, TONIGHT)


def test_tonight_and_what_began_later_are_no_baseline() -> None:
    chosen = choose(None, [*NIGHTS, TONIGHT, night_of(10)], TONIGHT)
    assert list(chosen.nights) == NIGHTS
    with pytest.raises(InputError):
        choose(f"night:{TONIGHT.name}", [*NIGHTS, TONIGHT], TONIGHT)


def test_no_more_nights_than_a_level_is_looked_for() -> None:
    nights = [night_of(n) for n in range(200)]
    assert list(choose(None, nights, night_of(200)).nights) == nights[-MOST_NIGHTS:]


def test_rows_by_job_oldest_night_first_and_the_later_of_two() -> None:
    chosen = choose(None, NIGHTS, TONIGHT)
    rows = [row(2), row(0), row(1, seed=1), row(1, seed=2, measured_at=row(1).measured_at.replace(minute=30))]
    foreign = row(3, session=None)
    (pasts,) = Baseline(chosen, (*rows, foreign)).by_job().values()
    assert [past.row for past in pasts] == [rows[1], rows[3], rows[0]]
    assert [past.night for past in pasts] == NIGHTS[:3]
    assert {key_of(past.row) for past in pasts} == {key_of(rows[0])}


def test_condensed_rows_say_the_same_of_tonight() -> None:
    history = rows([10.0] * 6 + [11.0] * 2)
    small = [condensed(old) for old in history]
    assert sum(len(old.samples_ns) for old in small) * 10 < sum(len(old.samples_ns) for old in history)
    assert row_turns(small[0]) == pytest.approx(row_turns(history[0]), abs=1)
    whole, condense = found(row(8, 11), history), found(row(8, 11), small)
    assert (condense.status, condense.words, condense.since) == (whole.status, whole.words, whole.since)
    assert [old.id for old in condense.baseline] == [old.id for old in whole.baseline]
