"""All metrics of all tracks as one list, in the order of the paper's Tables 2 and 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bibench_deploy.metrics import quadratic_mean

from . import metrics
from .tables import Tables, algorithms

OVERALL = "overall"

Unit = Literal["percent", "ratio"]
#: metric → algorithm → value, the overall metric last.
Track = dict[str, dict[str, float]]

UNITS: Mapping[str, Unit] = {
    "learning_task": "percent",
    "neural_architecture": "percent",
    "corruption_robustness": "percent",
    "training_consumption": "percent",
    "theoretical_complexity": "ratio",
    "hardware_inference": "ratio",
}


@dataclass(frozen=True)
class Score:
    """One metric of one algorithm.

    Attributes:
        value: None where it can't be derived from the tables.
        published: what the paper prints, None where it prints nothing (or the tables are not the paper's).
        derivable: whether the value follows from the tables.
        note: what it rests on, or why there is none.
    """

    track: str
    metric: str
    algorithm: str
    value: float | None
    unit: Unit
    published: float | None = None
    derivable: bool = True
    note: str | None = None

    @property
    def difference(self) -> float | None:
        """value − published, in the metric's unit."""
        if self.value is None or self.published is None:
            return None
        return self.value - self.published


def scores(tables: Tables) -> list[Score]:
    """Every metric that the tables allow.

    Raises:
        DataError: a table that lacks its full-precision rows.
    """
    return list(_listed(tracks(tables)))


def _listed(found: Mapping[str, Track]) -> Iterator[Score]:
    for track, values in found.items():
        for metric, per_algorithm in values.items():
            for algorithm, value in per_algorithm.items():
                yield Score(track, metric, algorithm, value, UNITS[track])


def tracks(tables: Tables) -> dict[str, Track]:
    """Track → metric → algorithm → value.

    Raises:
        DataError: a table that lacks its full-precision rows.
    """
    found: dict[str, Track] = {}
    if tables.accuracy:
        found["learning_task"] = with_overall(metrics.learning_tasks(tables.accuracy))
        found["neural_architecture"] = with_overall(metrics.architectures(tables.accuracy))
    if tables.corrupted:
        robustness = metrics.robustness(tables.corrupted)
        found["corruption_robustness"] = {"CIFAR10-C": robustness, OVERALL: robustness}
    if tables.training:
        found["training_consumption"] = _training(tables)
    if tables.counted:
        found["theoretical_complexity"] = with_overall(
            {
                "compression": {row.algorithm: row.compression for row in tables.counted},
                "speedup": {row.algorithm: row.speedup for row in tables.counted},
            }
        )
    if tables.latency:
        found["hardware_inference"] = _hardware(tables)
    return {track: values for track, values in found.items() if values}


def with_overall(parts: Mapping[str, Mapping[str, float]]) -> Track:
    """The parts and their quadratic mean, for the algorithms that have all parts."""
    names: Iterable[str] = algorithms(name for values in parts.values() for name in values)
    whole = [name for name in names if parts and all(name in values for values in parts.values())]
    overall = {name: quadratic_mean(values[name] for values in parts.values()) for name in whole}
    found = {metric: dict(values) for metric, values in parts.items()}
    return {**found, OVERALL: overall} if overall else found


def _training(tables: Tables) -> Track:
    parts = {"sensitivity": metrics.sensitivity(tables.training)}
    times = metrics.training_time(tables.training)
    return with_overall({**parts, "time_cost": times}) if times else parts


def _hardware(tables: Tables) -> Track:
    """With sizes Eq. 9 whole; without them its speedup alone."""
    measured = metrics.hardware(tables.latency).get("", {})
    if not measured:
        return {"speedup": metrics.speedups(tables.latency).get("", {})}
    return {
        "speedup": {name: metric.speedup for name, metric in measured.items()},
        "compression": {name: metric.compression for name, metric in measured.items()},
        OVERALL: {name: metric.overall for name, metric in measured.items()},
    }
