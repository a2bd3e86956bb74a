"""One pure function a track: tidy tables in, {algorithm: value} out.

E is the arithmetic mean, fp the full-precision network and bi the binarized one. Equations are those of BiBench
(Qin et al., ICML 2023), section 3; where the paper leaves a choice open, the one written here is that with
which its printed values follow from its printed raw data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, stdev

from bibench_deploy.errors import DataError
from bibench_deploy.metrics import HardwareMetric, hardware_metric, ratio

from .tables import FULL_PRECISION, Accuracy, Corrupted, Latency, TrainingRun, algorithms

Values = dict[str, float]

PERCENT = 100.0
CLEAN = "none"
#: The paper prints SSD300's results for VOC07 too, but its metric counts these alone.
COUNTED_ARCHITECTURES: Mapping[str, tuple[str, ...]] = {"VOC07": ("Faster-RCNN",)}
#: Which tasks stand for which family of architectures in the neural architecture track (Eq. 3).
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "CNNs": ("CIFAR10", "ImageNet", "VOC07", "COCO17"),
    "Transformers": ("GLUE",),
    "MLPs": ("ModelNet40", "SpeechCom."),
}


def relative_accuracy(rows: Sequence[Accuracy], tasks: Sequence[str] | None = None) -> Values:
    """E(acc_bi / acc_fp) in percent, over all architectures and subtasks of some tasks (Eq. 2 and 3).

    Args:
        tasks: None for all that there are.

    Raises:
        DataError: a binarized network without its full-precision one.
    """
    wanted = [row for row in rows if tasks is None or row.task in tasks]
    full = {
        (row.task, row.subtask, row.architecture): row.accuracy
        for row in wanted
        if row.algorithm == FULL_PRECISION
    }
    ratios: dict[str, list[float]] = defaultdict(list)
    for row in wanted:
        if row.algorithm == FULL_PRECISION:
            continue
        key = (row.task, row.subtask, row.architecture)
        if not full.get(key):
            raise DataError(
                "the full-precision accuracy is missing (or zero)",
                where=" ".join(part for part in key if part),
                remedy=f"add its line with the algorithm {FULL_PRECISION}",
            )
        ratios[row.algorithm].append(PERCENT * row.accuracy / full[key])
    return {name: fmean(ratios[name]) for name in algorithms(ratios)}


def learning_tasks(rows: Sequence[Accuracy]) -> dict[str, Values]:
    """Eq. 2 before its mean over tasks: task → relative accuracy of each algorithm, in percent."""
    counted = [
        row
        for row in rows
        if row.task not in COUNTED_ARCHITECTURES or row.architecture in COUNTED_ARCHITECTURES[row.task]
    ]
    return {task: relative_accuracy(counted, (task,)) for task in dict.fromkeys(row.task for row in counted)}


def architectures(rows: Sequence[Accuracy]) -> dict[str, Values]:
    """Eq. 3 before its mean over families: family → relative accuracy of each algorithm, in percent."""
    found = {family: relative_accuracy(rows, tasks) for family, tasks in FAMILIES.items()}
    return {family: values for family, values in found.items() if values}


def robustness(rows: Sequence[Corrupted]) -> Values:
    """Eq. 4 and 5: E(G_fp / G_bi) in percent over all (corruption, severity) pairs, G = clean − corrupted.

    Raises:
        DataError: clean or full-precision accuracy missing, or a corruption that costs nothing (G = 0).
    """
    clean = {row.algorithm: row.accuracy for row in rows if row.corruption == CLEAN}
    gaps: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for row in rows:
        if row.corruption == CLEAN:
            continue
        if row.algorithm not in clean:
            raise DataError(
                f"no accuracy on clean data (corruption '{CLEAN}')", where=f"algorithm {row.algorithm}"
            )
        gaps[row.algorithm][row.corruption, row.severity] = clean[row.algorithm] - row.accuracy
    full = gaps.get(FULL_PRECISION, {})
    return {name: _mean_gap_ratio(name, full, gaps[name]) for name in algorithms(gaps)}


def _mean_gap_ratio(
    algorithm: str, full: Mapping[tuple[str, int], float], binarized: Mapping[tuple[str, int], float]
) -> float:
    if full.keys() != binarized.keys():
        raise DataError(
            "its corruptions are not those of the full-precision network", where=f"algorithm {algorithm}"
        )
    for (corruption, severity), gap in binarized.items():
        if gap == 0:
            raise DataError(
                "the corruption costs no accuracy, so Eq. 5 divides by zero",
                where=f"algorithm {algorithm}, {corruption} {severity}",
            )
    return PERCENT * fmean(full[pair] / gap for pair, gap in binarized.items())


def sensitivity(rows: Sequence[TrainingRun]) -> Values:
    """First part of Eq. 6: std_fp / std_bi in percent, sample standard deviations over all runs.

    Raises:
        DataError: full-precision runs missing, or fewer than two runs, or all with the same result.
    """
    spread: Values = {}
    for name, runs in _runs(rows).items():
        accuracies = [run.accuracy for run in runs]
        spread[name] = stdev(accuracies) if len(accuracies) > 1 else 0.0
        if not spread[name]:
            raise DataError("its runs do not differ (or there is only one)", where=f"algorithm {name}")
    return _against_full(spread)


def training_time(rows: Sequence[TrainingRun]) -> Values | None:
    """Second part of Eq. 6: E(T_fp) / E(T_bi) in percent; None where times were not recorded."""
    times = {name: [run.seconds for run in runs if run.seconds] for name, runs in _runs(rows).items()}
    if not times or not all(times.values()):
        return None
    return _against_full({name: fmean(values) for name, values in times.items()})


def _runs(rows: Iterable[TrainingRun]) -> dict[str, list[TrainingRun]]:
    runs: dict[str, list[TrainingRun]] = defaultdict(list)
    for row in rows:
        runs[row.algorithm].append(row)
    return runs


def _against_full(values: Mapping[str, float]) -> Values:
    if FULL_PRECISION not in values:
        raise DataError("no full-precision training run", remedy=f"add lines of algorithm {FULL_PRECISION}")
    return {name: PERCENT * values[FULL_PRECISION] / values[name] for name in algorithms(values)}


def hardware(
    rows: Sequence[Latency], group: Callable[[Latency], str] = lambda row: ""
) -> dict[str, dict[str, HardwareMetric]]:
    """Eq. 9: group → algorithm → speedup, compression and their quadratic mean.

    A binarized latency is paired with the full-precision one of the same device, threads, architecture and
    library; one without partner is left out, as is every pair without sizes.

    Args:
        group: what to average over separately.
    """
    pairs: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for binarized, full in latency_pairs(rows):
        if binarized.size_bytes and full.size_bytes:
            speedup = ratio(full.latency_ms, binarized.latency_ms)
            pairs[group(binarized)][binarized.variant].append(
                (speedup, ratio(full.size_bytes, binarized.size_bytes))
            )
    return {
        key: {name: hardware_metric(values[name]) for name in algorithms(values)}
        for key, values in pairs.items()
    }


def speedups(rows: Sequence[Latency], group: Callable[[Latency], str] = lambda row: "") -> dict[str, Values]:
    """The speedup of Eq. 9 alone, for tables without sizes: group → algorithm → E(T_fp / T_bi)."""
    ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for binarized, full in latency_pairs(rows):
        ratios[group(binarized)][binarized.variant].append(ratio(full.latency_ms, binarized.latency_ms))
    return {key: {name: fmean(values[name]) for name in algorithms(values)} for key, values in ratios.items()}


def latency_pairs(rows: Sequence[Latency]) -> list[tuple[Latency, Latency]]:
    """(binarized, full-precision) rows of the same device, threads, architecture and library."""
    full = {_place(row): row for row in rows if row.variant == FULL_PRECISION}
    return [(row, full[_place(row)]) for row in rows if row.variant != FULL_PRECISION and _place(row) in full]


def _place(row: Latency) -> tuple[str, int, str, str]:
    return row.device, row.threads, row.architecture, row.library
