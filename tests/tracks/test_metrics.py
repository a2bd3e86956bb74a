"""The tracks' metrics on small tables that can be followed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.errors import DataError
from bibench_deploy.tracks import metrics
from bibench_deploy.tracks.scores import scores, with_overall
from bibench_deploy.tracks.tables import Accuracy, Corrupted, Latency, Tables, TrainingRun


def accuracy(task: str, architecture: str, algorithm: str, value: float) -> Accuracy:
    return Accuracy(task=task, architecture=architecture, algorithm=algorithm, accuracy=value)


def corrupted(corruption: str, algorithm: str, value: float) -> Corrupted:
    return Corrupted(corruption=corruption, severity=1, algorithm=algorithm, accuracy=value)


def run(algorithm: str, value: float, seconds: float | None = None) -> TrainingRun:
    return TrainingRun(algorithm=algorithm, optimizer="Adam", accuracy=value, seconds=seconds)


def latency(variant: str, ms: float, threads: int = 1, size: float | None = None) -> Latency:
    return Latency(
        device="rpi4",
        threads=threads,
        architecture="ResNet18",
        library="native",
        variant=variant,
        latency_ms=ms,
        size_bytes=size,
    )


def test_relative_accuracy_is_the_mean_of_ratios_not_the_ratio_of_means() -> None:
    rows = [
        accuracy("T", "A", "fp32", 50),
        accuracy("T", "B", "fp32", 100),
        accuracy("T", "A", "bnn", 40),
        accuracy("T", "B", "bnn", 60),
    ]
    assert metrics.relative_accuracy(rows) == {"bnn": pytest.approx(70)}


def test_voc07_counts_faster_rcnn_alone() -> None:
    rows = [accuracy("VOC07", name, "fp32", 80) for name in ("Faster-RCNN", "SSD300")]
    rows += [accuracy("VOC07", "Faster-RCNN", "bnn", 40), accuracy("VOC07", "SSD300", "bnn", 80)]
    assert metrics.learning_tasks(rows) == {"VOC07": {"bnn": pytest.approx(50)}}


def test_robustness_is_the_mean_ratio_of_the_gaps() -> None:
    rows = [
        corrupted("none", "fp32", 90),
        corrupted("fog", "fp32", 80),
        corrupted("rain", "fp32", 70),
        corrupted("none", "bnn", 80),
        corrupted("fog", "bnn", 60),
        corrupted("rain", "bnn", 70),
    ]
    assert metrics.robustness(rows) == {"bnn": pytest.approx(100 * (10 / 20 + 20 / 10) / 2)}


def test_sensitivity_takes_the_sample_deviation() -> None:
    rows = [run("fp32", 90), run("fp32", 92), run("bnn", 80), run("bnn", 84)]
    assert metrics.sensitivity(rows) == {"bnn": pytest.approx(50)}
    assert metrics.training_time(rows) is None


def test_training_time() -> None:
    rows = [run("fp32", 90, 100), run("fp32", 92, 300), run("bnn", 80, 400), run("bnn", 84, 400)]
    assert metrics.training_time(rows) == {"bnn": pytest.approx(50)}


def test_hardware_pairs_by_threads_and_needs_sizes() -> None:
    rows = [latency("fp32", 100, 1, 40), latency("bnn", 20, 1, 4), latency("fp32", 60, 2, 40)]
    rows += [latency("bnn", 20, 2, 4), latency("bnn", 20, 4, 4)]
    found = metrics.hardware(rows)[""]["bnn"]
    assert (found.speedup, found.compression, found.pairs) == (pytest.approx(4), pytest.approx(10), 2)
    assert metrics.hardware([latency("fp32", 100), latency("bnn", 20)]) == {}
    assert metrics.speedups([latency("fp32", 100), latency("bnn", 20)]) == {"": {"bnn": pytest.approx(5)}}


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: metrics.relative_accuracy([accuracy("T", "A", "bnn", 40)]), "full-precision accuracy"),
        (
            lambda: metrics.relative_accuracy([accuracy("T", "A", "fp32", 0), accuracy("T", "A", "bnn", 4)]),
            "full-precision accuracy",
        ),
        (lambda: metrics.robustness([corrupted("fog", "bnn", 60)]), "clean data"),
        (
            lambda: metrics.robustness([corrupted("none", "bnn", 60), corrupted("fog", "bnn", 50)]),
            "not those of the full-precision",
        ),
        (
            lambda: metrics.robustness(
                [corrupted(c, a, 60) for c in ("none", "fog") for a in ("fp32", "bnn")]
            ),
            "divides by zero",
        ),
        (lambda: metrics.sensitivity([run("fp32", 90), run("fp32", 91), run("bnn", 80)]), "do not differ"),
        (lambda: metrics.sensitivity([run("bnn", 90), run("bnn", 91)]), "no full-precision"),
    ],
)
def test_tables_that_allow_no_value(compute: object, message: str) -> None:
    assert callable(compute)
    with pytest.raises(DataError) as caught:
        compute()
    assert message in caught.value.message


def test_an_overall_metric_needs_all_parts() -> None:
    found = with_overall({"a": {"bnn": 3.0, "xnor": 1.0}, "b": {"bnn": 4.0}})
    assert found["overall"] == {"bnn": pytest.approx((12.5) ** 0.5)}


def test_scores_of_ones_own_tables_have_no_printed_value() -> None:
    found = scores(Tables(accuracy=(accuracy("T", "A", "fp32", 50), accuracy("T", "A", "mine", 40))))
    assert [(s.track, s.metric, s.algorithm) for s in found] == [
        ("learning_task", "T", "mine"),
        ("learning_task", "overall", "mine"),
    ]
    assert all(s.value == pytest.approx(80) and s.published is None and s.difference is None for s in found)


@given(st.lists(st.floats(min_value=1, max_value=100), min_size=1, max_size=6), st.floats(1, 100))
def test_a_network_as_good_as_full_precision_scores_100(values: list[float], factor: float) -> None:
    rows = [accuracy("T", str(i), name, v * factor) for i, v in enumerate(values) for name in ("fp32", "bnn")]
    assert metrics.relative_accuracy(rows)["bnn"] == pytest.approx(100)
