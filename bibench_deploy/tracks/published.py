"""The paper's Tables 2 and 3 from its own raw data, each value beside the printed one.

What does not follow from the printed raw data is marked as not derivable and left empty. An overall metric whose
part is such a value is taken from the printed part, and says so.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files

from bibench_deploy.complexity import complexity

from . import resnet18
from .scores import OVERALL, UNITS, Score, Track, tracks, with_overall
from .tables import ORDER, Counted, Tables, identifier, tables_of

FOLDER = "bibench_deploy.results.published"
RAW = (
    "bibench_accuracy.csv",
    "bibench_cifar10c.csv",
    "bibench_training_runs.csv",
    "bibench_hardware_latency_ms.csv",
)
PRINTED = "bibench_tracks.csv"


@dataclass(frozen=True)
class _Gap:
    """Metrics that do not follow from the printed raw data.

    Attributes:
        algorithms: which; all where empty.
    """

    track: str
    metric: str
    why: str
    algorithms: tuple[str, ...] = ()

    def holds(self, track: str, metric: str, algorithm: str) -> bool:
        """Whether it is about this value."""
        named = not self.algorithms or algorithm in self.algorithms
        return (track, metric) == (self.track, self.metric) and named


GAPS = (
    _Gap(
        "neural_architecture",
        "CNNs",
        "no mean over the printed CNN results gives the printed values",
    ),
    _Gap("training_consumption", "time_cost", "training times are not printed"),
    _Gap("theoretical_complexity", "compression", "how its factors are counted is not stated", ("xnorpp",)),
    _Gap(
        "theoretical_complexity",
        "speedup",
        "how operations beside a channel factor are counted is not stated",
        ("xnor", "xnorpp", "reactnet"),
    ),
    _Gap("hardware_inference", "speedup", "how Tables 17-20 are averaged is not stated"),
    _Gap("hardware_inference", "compression", "sizes of the artefacts are not printed"),
)
#: Where the paper prints no value.
NOT_DEPLOYABLE = "deployable on neither library, so nothing was measured"
#: Values that follow from the stated definition and are not what is printed.
NOTES: Mapping[tuple[str, str, str], str] = {
    ("theoretical_complexity", "speedup", "bnn"): "1 / (1 - b + b/64) for b = 93.5 % binary operations",
}


def reproduced() -> list[Score]:
    """Every printed value of Tables 2 and 3 with what follows from the paper's raw data."""
    printed = _printed()
    derived = tracks(replace(raw_tables(), counted=_counted()))
    found: list[Score] = []
    for track in UNITS:
        parts = _filled(track, derived.get(track, {}), printed)
        for metric in dict.fromkeys(key[1] for key in printed if key[0] == track):
            for algorithm in ORDER:
                key = (track, metric, algorithm)
                found.append(_score(key, parts, printed[key]))
    return found


def raw_tables() -> Tables:
    """The paper's raw data: accuracies, corruption, training runs, latencies."""
    folder = files(FOLDER)
    return tables_of((name, (folder / name).read_text(encoding="utf-8")) for name in RAW)


def _printed() -> dict[tuple[str, str, str], float | None]:
    text = (files(FOLDER) / PRINTED).read_text(encoding="utf-8")
    return {
        (row["track"], row["metric"], identifier(row["algorithm"])): float(row["value"])
        if row["value"]
        else None
        for row in csv.DictReader(text.splitlines())
    }


def _counted() -> tuple[Counted, ...]:
    """Theoretical complexity of the paper's ResNet18 for each algorithm."""
    found = {name: complexity(resnet18.layer_costs(name)) for name in ORDER}
    return tuple(
        Counted(algorithm=name, compression=c.compression, speedup=c.speedup) for name, c in found.items()
    )


def _filled(track: str, derived: Track, printed: Mapping[tuple[str, str, str], float | None]) -> Track:
    """The derived parts with printed ones in the gaps, and the overall metric of these."""
    metrics = [m for t, m in dict.fromkeys(key[:2] for key in printed) if t == track and m != OVERALL]
    parts: Track = {}
    for metric in metrics:
        values = {name: _part(track, metric, name, derived, printed) for name in ORDER}
        parts[metric] = {name: value for name, value in values.items() if value is not None}
    return with_overall(parts)


def _part(
    track: str,
    metric: str,
    algorithm: str,
    derived: Track,
    printed: Mapping[tuple[str, str, str], float | None],
) -> float | None:
    if _gap(track, metric, algorithm):
        return printed[track, metric, algorithm]
    return derived.get(metric, {}).get(algorithm)


def _score(key: tuple[str, str, str], parts: Track, published: float | None) -> Score:
    track, metric, algorithm = key
    gap = _gap(track, metric, algorithm)
    value = parts.get(metric, {}).get(algorithm)
    if gap is not None or value is None:
        why = gap.why if gap and published is not None else NOT_DEPLOYABLE
        return Score(track, metric, algorithm, None, UNITS[track], published, False, why)
    note = NOTES.get(key) or (_rests_on(track, algorithm) if metric == OVERALL else None)
    return Score(track, metric, algorithm, value, UNITS[track], published, True, note)


def _rests_on(track: str, algorithm: str) -> str | None:
    """Which printed parts an overall metric was computed from."""
    parts = [gap.metric for gap in GAPS if gap.holds(track, gap.metric, algorithm)]
    return f"from the printed {' and '.join(parts)}" if parts else None


def _gap(track: str, metric: str, algorithm: str) -> _Gap | None:
    return next((gap for gap in GAPS if gap.holds(track, metric, algorithm)), None)
