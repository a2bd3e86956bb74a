"""Rows against rows: which measurements belong together, and what became of each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bibench_deploy.runners.compare import (
    NOTABLE_FACTOR,
    Comparison,
    Word,
    compare,
    incomparable,
    moved_apart,
)
from bibench_deploy.runners.statistics import Turns, split
from bibench_deploy.runners.verdict import disturbances

from .row import Row
from .tidy import newest

Key = tuple[object, ...]
Belonging = Literal["measurement", "condition"]

#: What two rows may differ in, beside their latencies, and a reader has to know.
_FACTS: dict[str, Callable[[Row], Any]] = {
    "device": lambda row: row.device,
    "engine": lambda row: row.engine,
    "model": lambda row: row.model,
    "variant": lambda row: row.variant,
    "threads": lambda row: row.threads,
    "cpus": lambda row: row.cpus,
    "artefact": lambda row: row.sha256,
    "engine's program": lambda row: row.engine_sha256,
    "versions": lambda row: row.versions,
    "binary kernel": lambda row: row.kernel,
    "tool": lambda row: row.tool,
    "system": lambda row: row.host.system,
}


@dataclass(frozen=True)
class Pair:
    """Two rows that belong together.

    Attributes:
        comparison: of their samples; None where they can't be compared.
        why: for the word ``unknown``, what is missing or differs.
        differs: which facts are not the same in both, such as the artefact.
        cautions: what disturbed either measurement; its figures may say less than they seem to.
    """

    a: Row
    b: Row
    comparison: Comparison | None
    why: tuple[str, ...]
    differs: tuple[str, ...]
    cautions: tuple[str, ...]

    @property
    def word(self) -> Word:
        """Slower, faster, same or unknown."""
        return self.comparison.word if self.comparison else "unknown"

    def unclear(self, factor: float) -> bool:
        """Whether it is called the same only because the difference, which is large enough, may be chance."""
        if self.comparison is None or self.word != "same":
            return False
        return not 1 / factor < self.comparison.ratio < factor


@dataclass(frozen=True)
class Pairs:
    """All that is compared.

    Attributes:
        only_a, only_b: rows that the other side has nothing for.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[Row, ...]
    only_b: tuple[Row, ...]


def words_of(found: Pairs) -> dict[str, int]:
    """How many pairs have each word; all words, the most important first."""
    return {word: sum(pair.word == word for pair in found.pairs) for word in get_args(Word)}


def compare_rows(
    a: Sequence[Row], b: Sequence[Row], by: Belonging = "measurement", factor: float = NOTABLE_FACTOR
) -> Pairs:
    """B's rows against A's; of each measurement the newest on either side.

    Args:
        by: rows belong together that measured the same under the same condition ("measurement"), or under the same
            condition whatever they measured ("condition": two artefacts). One row on either side always does.
        factor: by which a latency must differ to be slower or faster.
    """
    first, second = newest(a), newest(b)
    if len(first) == len(second) == 1:
        return Pairs((pair(first[0], second[0], factor),), (), ())
    key = _measurement if by == "measurement" else _condition
    firsts, seconds = ({key(row): row for row in rows} for rows in (first, second))
    return Pairs(
        tuple(pair(row, seconds[at], factor) for at, row in firsts.items() if at in seconds),
        tuple(row for at, row in firsts.items() if at not in seconds),
        tuple(row for at, row in seconds.items() if at not in firsts),
    )


def pair(a: Row, b: Row, factor: float = NOTABLE_FACTOR) -> Pair:
    """One row against another."""
    differs = tuple(name for name, fact in _FACTS.items() if fact(a) != fact(b))
    why = (*_no_measurement(a, "A"), *_no_measurement(b, "B")) or other_things(a, b)
    if why:
        return Pair(a, b, None, why, differs, ())
    found = compare(turns_of(a), turns_of(b), factor)
    cautions = tuple(
        f"{name}: {reason}"
        for name, row in (("A", a), ("B", b))
        for reason in disturbances(turns_of(row), row.context, row.host.cores)
    )
    return Pair(a, b, found, found.why, differs, cautions)


def turns_of(row: Row) -> Turns:
    """A row's samples, ns, as they were taken."""
    return split(row.samples_ns, row.turns)


def _no_measurement(row: Row, name: str) -> tuple[str, ...]:
    if row.state != "measured":
        return (f"{name} is not applicable ({', '.join(row.reasons)})",)
    if row.verdict == "invalid":
        return (f"{name} is invalid ({', '.join(row.reasons)})",)
    return ()


def other_things(a: Row, b: Row, clock: bool = True) -> tuple[str, ...]:
    """What makes two rows measurements of different things, beside what they are of.

    Args:
        clock: whether another clock, or another distance between the cores, is a reason: both move by themselves.
    """
    reasons = list(incomparable(a.context, b.context, clock))
    distance = moved_apart(a.context, b.context) if clock else None
    if distance:
        reasons.append(distance)
    if a.host.cpu != b.host.cpu:
        reasons.insert(0, f"other processor ({a.host.cpu}, {b.host.cpu})")
    if a.statistic != b.statistic:
        reasons.append("one has single runs, the other the means that an engine's own benchmark reported")
    return tuple(reasons)


def _measurement(row: Row) -> Key:
    return (row.engine, row.model, row.variant, *_condition(row))


def _condition(row: Row) -> Key:
    return row.device, row.threads, row.cpus
