"""Whether the same sweep, measured again, says the same within the intervals that it states. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from bibench_deploy.results import Row
from bibench_deploy.results.comparison import other_things, turns_of
from bibench_deploy.results.report import Line, report
from bibench_deploy.runners.statistics import Interval, percentile, turn_medians

from .markdown import joined, table

#: What one sweep says of one thing: a latency in ns, or a ratio.
Thing = tuple[object, ...]
#: How ``runners.verdict`` begins that reason.
OTHER_LOAD = "other load"


@dataclass(frozen=True)
class Estimate:
    """A median or a ratio of medians, as one sweep states it.

    Attributes:
        interval: 95 %; None where it states none.
        flagged: whether the verdict on it (or on either side of the ratio) says not to trust it.
        rows: that it rests on.
    """

    value: float
    interval: Interval | None
    flagged: bool
    rows: tuple[Row, ...] = ()

    def not_compared(self, other: Estimate) -> bool:
        """Whether the two are of different things, as ``compare`` tells."""
        return any(other_things(a, b) for a, b in zip(self.rows, other.rows, strict=True))


@dataclass(frozen=True)
class Counts:
    """Pairs of sweeps, thing by thing.

    Attributes:
        trusted: pairs that both sweeps call stable; ``agree``: whose intervals overlap.
        near: of the trusted ones, those whose difference lies within the root of the sum of their squared
            half-widths: the interval of a difference, which 95 % of pairs ought to be in.
        disjoint: all pairs, stable or not, whose intervals do not overlap; ``told``: of which a verdict warned.
        needed: for each trusted pair the factor by which both intervals would have to be wider to touch.
        other: pairs besides, which are not compared.
    """

    trusted: int = 0
    agree: int = 0
    near: int = 0
    disjoint: int = 0
    told: int = 0
    pairs: int = 0
    needed: tuple[float, ...] = ()
    other: int = 0


def stable(line: Line) -> bool:
    """Whether the verdict trusts it."""
    return line.stable


def but_for_load(line: Line) -> bool:
    """Whether the verdict has nothing against it but the load of others."""
    return line.row.verdict != "invalid" and all(why.startswith(OTHER_LOAD) for why in line.row.reasons)


def latencies(rows: Iterable[Row], trusts: Callable[[Line], bool] = stable) -> dict[Thing, Estimate]:
    """What one sweep says of each artefact and number of threads."""
    return {
        (line.row.engine, line.row.model, line.row.variant, line.row.threads): Estimate(
            line.summary.median_ms, line.interval_ms, not trusts(line), (line.row,)
        )
        for line in report(list(rows)).lines
    }


def speedups(rows: Iterable[Row], trusts: Callable[[Line], bool] = stable) -> dict[Thing, Estimate]:
    """What one sweep says of each binarized artefact against its twin."""
    return {
        (c.binarized.row.engine, c.binarized.row.model, c.binarized.row.threads): Estimate(
            c.metric.speedup,
            c.interval,
            not (trusts(c.binarized) and trusts(c.full_precision)),
            (c.binarized.row, c.full_precision.row),
        )
        for c in report(list(rows)).comparisons
    }


def count(sweeps: Sequence[Mapping[Thing, Estimate]]) -> Counts:
    """All pairs of sweeps."""
    trusted = agree = near = disjoint = told = pairs = other = 0
    needed = []
    for first, second in combinations(sweeps, 2):
        for thing in first.keys() & second.keys():
            a, b = first[thing], second[thing]
            flagged = a.flagged or b.flagged
            if a.interval is None or b.interval is None:
                continue  # states nothing that could be wrong
            if a.not_compared(b):
                other += 1
                continue
            pairs += 1
            meets = a.interval.overlaps(b.interval)
            if not meets:
                disjoint += 1
                told += flagged
            if flagged:
                continue
            trusted += 1
            agree += meets
            between = abs(a.value - b.value)
            low, high = (a, b) if a.value < b.value else (b, a)
            assert low.interval is not None
            assert high.interval is not None
            widths = low.interval.high - low.value, high.value - high.interval.low
            near += between <= (widths[0] ** 2 + widths[1] ** 2) ** 0.5
            needed.append(between / sum(widths) if sum(widths) > 0 else 1.0 if between == 0 else float("inf"))
    return Counts(trusted, agree, near, disjoint, told, pairs, tuple(needed), other)


def drifts(sweeps: Sequence[Sequence[Row]]) -> dict[Thing, tuple[float, float, float]]:
    """How far medians of one thing scatter: within a sweep (of its turns' medians), between sweeps, and its
    interval.

    Returns:
        By thing: the largest distance of a sweep's median from the median of all sweeps; the median distance of
        a turn from its sweep's; and the median half-width of the stated intervals. As fractions.
    """
    found: dict[Thing, list[tuple[float, float, float]]] = defaultdict(list)
    for rows in sweeps:
        for line in report(list(rows)).lines:
            row, centre = line.row, line.summary.median_ms
            within = [abs(value / (centre * 1e6) - 1) for value in turn_medians(turns_of(row))]
            width = line.interval_ms.half_width(centre) if line.interval_ms else float("nan")
            found[row.engine, row.model, row.variant, row.threads].append((centre, median(within), width))
    result = {}
    for thing, seen in found.items():
        middle = median(centre for centre, _, _ in seen)
        far = max(abs(centre / middle - 1) for centre, _, _ in seen)
        result[thing] = far, median(within for _, within, _ in seen), median(width for _, _, width in seen)
    return result


def reasons(sweeps: Iterable[Iterable[Row]]) -> Counter[str]:
    """What the verdicts say, by the first words of each reason."""
    return Counter(
        reason.split(" (")[0].split(" is ±")[0].split(" by ")[0]
        for rows in sweeps
        for row in rows
        for reason in row.reasons
    )


def show(found: Mapping[str, Sequence[Sequence[Row]]]) -> str:
    """All of it as markdown.

    Args:
        found: kind of noise → the sweeps that were taken under it.
    """
    parts = []
    for title, estimates in (("Medians", latencies), ("Speedups over the fp32 twin", speedups)):
        rows = []
        for kind, sweeps in found.items():
            if len(sweeps) < 2:
                continue
            for name, trusts in ((kind, stable), (f"{kind}, load of others disregarded", but_for_load)):
                counts = count([estimates(taken, trusts) for taken in sweeps])
                rows.append([name, str(len(sweeps)), *_cells(counts)])
        headers = (
            "noise", "sweeps", "pairs of stable ones", "overlap", "within √(a² + b²)", "all pairs", "disjoint",
            "of which flagged", "95 % of stable pairs need", "not compared",
        )  # fmt: skip
        parts += [f"### {title}", table(headers, rows)]
    parts.append("### Verdicts")
    verdicts = [
        [
            kind,
            *(
                str(sum(row.verdict == word for rows in sweeps for row in rows))
                for word in ("stable", "unstable", "invalid")
            ),
            ", ".join(f"{reason} {n}" for reason, n in reasons(sweeps).most_common()) or "–",
        ]
        for kind, sweeps in found.items()
    ]
    parts.append(table(("noise", "stable", "unstable", "invalid", "reasons"), verdicts))
    for kind, sweeps in found.items():
        if len(sweeps) > 1:
            parts += [f"### Scatter, {kind}", _scatter(sweeps)]
    return joined(parts)


def _cells(counts: Counts) -> list[str]:
    return [
        str(counts.trusted),
        share(counts.agree, counts.trusted),
        share(counts.near, counts.trusted),
        str(counts.pairs),
        str(counts.disjoint),
        share(counts.told, counts.disjoint),
        f"×{percentile(counts.needed, 0.95):.2f}" if counts.needed else "–",
        str(counts.other),
    ]


def share(part: int, whole: int) -> str:
    """``27 of 28 (96 %)``."""
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else "–"


def _scatter(sweeps: Sequence[Sequence[Row]]) -> str:
    rows = [
        [" ".join(map(str, thing)), *(f"{100 * figure:.2f} %" for figure in figures)]
        for thing, figures in drifts(sweeps).items()
    ]
    headers = (
        "engine, model, variant, threads",
        "between sweeps, at most",
        "turns within a sweep",
        "interval ±",
    )
    return table(headers, rows)
