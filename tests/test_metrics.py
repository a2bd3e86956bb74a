"""BiBench's Eq. 9."""

from __future__ import annotations

import csv
import math
from importlib.resources import files

import pytest

from bibench_deploy.metrics import hardware_metric, quadratic_mean, ratio


def published(algorithm: str) -> dict[str, float]:
    table = files("bibench_deploy.results.published") / "bibench_tracks.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    return {
        row["metric"]: float(row["value"])
        for row in rows
        if row["track"] == "hardware_inference" and row["algorithm"] == algorithm
    }


@pytest.mark.parametrize("algorithm", ["BNN", "DoReFa", "Bi-Real", "ReActNet", "ReCU", "FDA"])
def test_the_papers_overall_metric_follows_from_its_two_ratios(algorithm: str) -> None:
    """Table 3, the six algorithms that can be deployed."""
    values = published(algorithm)
    metric = hardware_metric([(values["speedup"], values["compression"])])
    assert round(metric.overall, 2) == values["overall"]


def test_the_means_are_of_ratios_before_the_quadratic_mean() -> None:
    metric = hardware_metric([(2.0, 10.0), (4.0, 20.0)])
    assert (metric.speedup, metric.compression, metric.pairs) == (3.0, 15.0, 2)
    assert metric.overall == pytest.approx(math.sqrt((9 + 225) / 2))


def test_equal_ratios_are_their_own_quadratic_mean() -> None:
    assert quadratic_mean([7.0, 7.0]) == pytest.approx(7.0)


def test_a_ratio_is_full_precision_over_binarized() -> None:
    assert ratio(60.0, 30.0) == 2.0


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_ratio_of_nonsense_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        ratio(bad, 1.0)
    with pytest.raises(ValueError, match="positive"):
        ratio(1.0, bad)


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        hardware_metric([])
