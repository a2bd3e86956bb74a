"""Which algorithm and engine to take on a device, from what was measured there or what the paper printed. Pure.

Accuracies are comparable within one network on one data set only, so there is one answer for each of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bibench_deploy.pareto import dominates
from bibench_deploy.results.published.latencies import SAME_AS_BNN
from bibench_deploy.tracks.tables import FULL_PRECISION, ORDER, Tables

if TYPE_CHECKING:
    from bibench_deploy.results import Row

#: Which of the paper's accuracies stands for a network that it measured on chips.
PUBLISHED_DATA: Mapping[str, str] = {"ResNet18": "ImageNet", "ResNet34": "CIFAR10", "VGG-Small": "CIFAR10"}
#: Of these the accuracy is printed for small images alone, and the latency looks like one of large images: in full
#: precision it is 6.0 times VGG-Small's and 2.0 times ResNet18's (Kirin 970, 1 thread), as are the
#: multiply-accumulates at 224×224 (3.7 · 10⁹ against 0.6 · 10⁹ and 1.8 · 10⁹).
OTHER_INPUTS: Mapping[str, str] = {
    "ResNet34": "its printed latency looks like one of images of 224×224, its accuracy is of CIFAR10's 32×32"
}
PUBLISHED = "BiBench, Tables 17-20"


@dataclass(frozen=True)
class Candidate:
    """One way to run a network on the device.

    Attributes:
        algorithm: or fp32.
        latency_ms: median.
        size_bytes: of the artefact; None where it is not known.
        accuracy: percent on the data set; None where it is not known.
        measured: on the user's device; else printed in the paper.
        trusted: whether the latency may be compared: a stable measurement, or a printed one.
        rests_on: in words, what the figures come from.
        cpus: cores that it was pinned to, as they were asked for; None for no pinning.
        caveat: what makes its figures doubtful; None where nothing does.
    """

    network: str
    dataset: str | None
    algorithm: str
    engine: str
    threads: int
    latency_ms: float
    size_bytes: int | None
    accuracy: float | None
    measured: bool
    trusted: bool
    rests_on: str
    cpus: str | None = None
    caveat: str | None = None


@dataclass(frozen=True)
class Limits:
    """What is asked for; None for no limit."""

    latency_ms: float | None = None
    size_bytes: float | None = None

    def allow(self, candidate: Candidate) -> bool:
        """Whether a candidate keeps within them; a size that is not known does not."""
        return self.allow_latency(candidate) and self.allow_size(candidate)

    def allow_latency(self, candidate: Candidate) -> bool:
        """Whether it is fast enough."""
        return self.latency_ms is None or candidate.latency_ms <= self.latency_ms

    def allow_size(self, candidate: Candidate) -> bool:
        """Whether it is known to be small enough."""
        if self.size_bytes is None:
            return True
        return candidate.size_bytes is not None and candidate.size_bytes <= self.size_bytes


@dataclass(frozen=True)
class Recommendation:
    """The answer for one network on one data set.

    Attributes:
        choice: None where nothing keeps within the limits.
        others: what else keeps within them and is not worse in everything, best accuracy first.
        fastest: of all binarized ones.
        nearest: for an answer that is no, what would do if one limit were raised: the fastest that is small enough,
            the smallest that is fast enough.
        unknown: for an answer that is no, the best that is fast enough and whose size is not known.
        full_precision: the fastest one; None where nothing is known of it.
    """

    network: str
    dataset: str | None
    choice: Candidate | None
    others: tuple[Candidate, ...]
    fastest: Candidate
    full_precision: Candidate | None
    nearest: tuple[Candidate, ...] = ()
    unknown: Candidate | None = None


def measured(rows: Iterable[Row]) -> list[Candidate]:
    """Candidates from the store: the newest of each measurement, as in a report, and verified ones only.

    More threads than the machine has cores are no advice, however the clock fell.
    """
    from bibench_deploy.results.tidy import newest
    from bibench_deploy.runners.timing import summarise

    usable = [
        row
        for row in newest(
            row
            for row in rows
            if row.verified and row.verified_on_device is not False and row.state == "measured"
        )
        if row.verdict != "invalid" and row.threads <= row.host.cores
    ]
    several = len({row.host.cpu for row in usable}) > 1
    return [
        Candidate(
            network=row.architecture or row.model,
            dataset=row.dataset,
            algorithm=row.algorithm,
            engine=row.engine,
            threads=row.threads,
            latency_ms=summarise(row.samples_ns).median_ms,
            size_bytes=row.size_bytes,
            accuracy=None if row.accuracy is None else 100 * row.accuracy,
            measured=True,
            trusted=row.verdict in (None, "stable"),
            rests_on=f"measured on {row.device}{f' ({row.host.cpu})' if several else ''}, "
            f"{row.measured_at:%Y-%m-%d}",
            cpus=row.cpus,
        )
        for row in usable
    ]


def published(chip: str, tables: Tables) -> list[Candidate]:
    """Candidates from the paper's tables for one of its chips."""
    accuracies = {
        (row.task, row.architecture, row.algorithm): row.accuracy
        for row in tables.accuracy
        if not row.subtask
    }
    found = []
    for row in tables.latency:
        if row.device != chip:
            continue
        dataset = PUBLISHED_DATA[row.architecture]
        for algorithm in SAME_AS_BNN if row.variant == "bnn" else (row.variant,):
            found.append(
                Candidate(
                    network=row.architecture.lower(),
                    dataset=dataset,
                    algorithm=algorithm,
                    engine=row.library,
                    threads=row.threads,
                    latency_ms=row.latency_ms,
                    size_bytes=None,
                    accuracy=accuracies.get((dataset, row.architecture, algorithm)),
                    measured=False,
                    trusted=True,
                    rests_on=PUBLISHED,
                    caveat=OTHER_INPUTS.get(row.architecture),
                )
            )
    return found


def recommend(candidates: Sequence[Candidate], limits: Limits) -> list[Recommendation]:
    """One recommendation for each network and data set, measured networks first."""
    groups: dict[tuple[bool, str, str | None], list[Candidate]] = {}
    for candidate in candidates:
        key = (not candidate.measured, candidate.network, candidate.dataset)
        groups.setdefault(key, []).append(candidate)
    ordered = sorted(groups, key=lambda key: (key[0], key[1], key[2] or ""))
    answers = (_answer(groups[key], limits) for key in ordered)
    return [answer for answer in answers if answer is not None]


def _answer(group: Sequence[Candidate], limits: Limits) -> Recommendation | None:
    """None where the network was not binarized."""
    binarized = [candidate for candidate in group if candidate.algorithm != FULL_PRECISION]
    if not binarized:
        return None
    full = [candidate for candidate in group if candidate.algorithm == FULL_PRECISION]
    fastest, fastest_full = _fastest(binarized), _fastest(full)
    assert fastest is not None
    front = sorted(_front([candidate for candidate in binarized if limits.allow(candidate)]), key=_preference)
    if front:
        choice, *others = front
        return Recommendation(fastest.network, fastest.dataset, choice, tuple(others), fastest, fastest_full)
    nearest, unknown = _nearest(binarized, limits)
    return Recommendation(fastest.network, fastest.dataset, None, (), fastest, fastest_full, nearest, unknown)


def _nearest(
    candidates: Sequence[Candidate], limits: Limits
) -> tuple[tuple[Candidate, ...], Candidate | None]:
    """As ``Recommendation.nearest`` and ``unknown``."""
    small = [candidate for candidate in candidates if limits.allow_size(candidate)]
    fast = [candidate for candidate in candidates if limits.allow_latency(candidate)]
    sized = [(candidate.size_bytes, candidate) for candidate in fast if candidate.size_bytes is not None]
    smallest = min(sized, key=lambda pair: pair[0], default=(0, None))[1]
    unsized = sorted((candidate for candidate in fast if candidate.size_bytes is None), key=_preference)
    found = dict.fromkeys(candidate for candidate in (_fastest(small), smallest) if candidate)
    return tuple(found), next(iter(unsized), None)


def _fastest(candidates: Sequence[Candidate]) -> Candidate | None:
    return min(candidates, key=lambda candidate: candidate.latency_ms, default=None)


def _preference(candidate: Candidate) -> tuple[bool, float, float, int, int]:
    """Best accuracy, then latency, then fewest threads; what can't be trusted goes last."""
    order = ORDER.index(candidate.algorithm) if candidate.algorithm in ORDER else len(ORDER)
    return (
        not candidate.trusted,
        -(candidate.accuracy or 0.0),
        candidate.latency_ms,
        candidate.threads,
        order,
    )


def _front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in latency, size and accuracy at once (the Pareto front)."""
    return [one for one in candidates if not any(_beats(other, one) for other in candidates)]


def _beats(a: Candidate, b: Candidate) -> bool:
    if b.trusted and not a.trusted:
        return False
    return dominates(_costs(a), _costs(b))


def _costs(candidate: Candidate) -> tuple[float, float, float]:
    """The smaller the better; what is not known is the worst."""
    size = float("inf") if candidate.size_bytes is None else float(candidate.size_bytes)
    return candidate.latency_ms, size, -(candidate.accuracy or 0.0)
