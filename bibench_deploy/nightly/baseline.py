"""Which nights tonight is judged against: the last ones of the plan, a named one, or those of a commit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bibench_deploy.errors import InputError

from .finding import Began, Key, key_of

if TYPE_CHECKING:
    from bibench_deploy.results import Row
    from bibench_deploy.results.nights import Night

LAST = "last"
#: Nights that are looked back for the beginning of a level; a quarter of a year.
MOST_NIGHTS = 90
#: Shorter beginnings of a commit's name are too likely to mean several (git's own abbreviations begin here).
FEWEST_DIGITS = 7


@dataclass(frozen=True)
class Choice:
    """Nights whose rows have to be read.

    Attributes:
        nights: oldest first.
        named: whether the user named them, so that all of them and nothing else is the baseline.
        since: what was before it is forgotten; None for nothing.
        words: what was chosen, for a reader.
    """

    nights: tuple[Night, ...]
    named: bool
    since: datetime | None
    words: str


@dataclass(frozen=True)
class Past:
    """A row of an earlier night."""

    night: Night
    row: Row

    @property
    def began(self) -> Began:
        """The night, as a finding names it."""
        return Began(self.night.name, self.night.commit)


@dataclass(frozen=True)
class Baseline:
    """The earlier nights with their rows."""

    choice: Choice
    rows: tuple[Row, ...]

    def by_job(self) -> dict[Key, list[Past]]:
        """Each job's rows, oldest night first; of a job that a night has twice, the later."""
        nights = {night.session: night for night in self.choice.nights}
        newest: dict[tuple[Key, str], Row] = {}
        for row in sorted(self.rows, key=lambda row: (row.measured_at, row.id)):
            if row.session in nights:
                newest[key_of(row), row.session] = row
        found: dict[Key, list[Past]] = {}
        for (key, session), row in newest.items():
            found.setdefault(key, []).append(Past(nights[session], row))
        for pasts in found.values():
            pasts.sort(key=lambda past: (past.night.started_at, past.night.name))
        return found


def condensed(row: Row) -> Row:
    """A row with one run a turn, its median: all that the gate looks at of earlier nights, and little."""
    from bibench_deploy.runners.statistics import split, turn_medians

    medians = [max(1, round(centre)) for centre in turn_medians(split(row.samples_ns, row.turns))]
    return row.model_copy(update={"samples_ns": medians, "turns": [1] * len(medians), "operators": []})


def choose(
    text: str | None, nights: Iterable[Night], tonight: Night, since: datetime | None = None
) -> Choice:
    """The nights that a user means.

    Args:
        text: "last" (the default), "night:NAME" or "commit:SHA" (or its beginning).
        nights: all of the plan; tonight's and later ones are left out.
        since: of the plan: what had changed before is accepted.

    Raises:
        InputError: it is none of these, or there is no such night.
    """
    before = sorted(
        (n for n in nights if n.name != tonight.name and n.started_at <= tonight.started_at),
        key=lambda night: (night.started_at, night.name),
    )
    kind, _, value = (text or LAST).partition(":")
    if kind == LAST and not value:
        words = f"the last nights since {since:%Y-%m-%d}" if since else "the last nights"
        return Choice(tuple(before[-MOST_NIGHTS:]), False, since, words)
    if kind == "night" and value:
        named = [night for night in before if night.name == value]
    elif kind == "commit" and len(value) >= FEWEST_DIGITS:
        named = _of_commit(value, before)
    else:
        raise InputError(
            f"'{text}' is no baseline",
            where="--baseline",
            remedy=f"write last, night:NAME or commit:SHA (at least {FEWEST_DIGITS} digits)",
        )
    if not named:
        raise InputError(
            f"no earlier night of this plan is {kind} {value}",
            where="--baseline",
            remedy=_known(kind, before),
        )
    return Choice(tuple(named), True, None, f"{kind} {value}")


def _of_commit(value: str, nights: Sequence[Night]) -> list[Night]:
    found = [night for night in nights if night.commit and night.commit.startswith(value.lower())]
    commits = sorted({night.commit for night in found if night.commit})
    if len(commits) > 1:
        raise InputError(
            f"commit {value} may mean {' and '.join(commits)}", where="--baseline", remedy="give more digits"
        )
    return found


def _known(kind: str, nights: Sequence[Night]) -> str:
    if kind == "commit":
        names = dict.fromkeys(night.commit[:12] for night in reversed(nights) if night.commit)
    else:
        names = dict.fromkeys(night.name for night in reversed(nights))
    return f"choose one of {', '.join(list(names)[:5])}" if names else "there is none yet: leave it out"
