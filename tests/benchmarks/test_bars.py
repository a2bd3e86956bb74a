from __future__ import annotations

import pytest

from suite import bars
from suite.bars import Bar
from suite.cases import FMA, FP32, LARQ, LITERT, NATIVE, ONNXRUNTIME, POPCOUNT, RELU, YARDSTICK, Case
from suite.ceilings import popcount_ceiling
from suite.rounds import Measured

MODEL = "resnet18"


def measured(times: dict[Case, float]) -> Measured:
    """Three rounds, each slower than the one before, with these times (ms) relative to each other."""
    return Measured(blocks={case: {i: [ms * (1 + i)] for i in range(3)} for case, ms in times.items()})


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "verdict"),
    [
        (6.0, 6.0, True, "pass"),
        (5.99, 6.0, True, "FAIL"),
        (1.1, 1.1, False, "pass"),
        (1.11, 1.1, False, "FAIL"),
        (None, 1.1, False, "not measured"),
    ],
)
def test_a_verdict_is_the_value_against_the_limit(
    value: float | None, limit: float, at_least: bool, verdict: str
) -> None:
    assert Bar("", value, "", limit, at_least).verdict == verdict


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((5.7, 6.4), "pass (unsure)"), ((6.0, 6.4), "pass"), ((6.05, 6.2), "pass")],
)
def test_a_verdict_is_unsure_where_the_interval_holds_the_limit(
    interval: tuple[float, float], verdict: str
) -> None:
    assert Bar("", 6.1, "", 6.0, at_least=True, interval=interval).verdict == verdict


def test_the_popcount_ceiling_is_taken_from_a_binary_layer() -> None:
    rows = [
        {"opcode": "conv", "ceiling_gmacs": 59.1},
        {"opcode": "map"},
        {"opcode": "bconv", "ceiling_gmacs": 1212.0},
    ]
    assert popcount_ceiling(rows) == 1212


@pytest.mark.parametrize(
    ("threads", "larq_ms", "verdict"), [(1, 24.0, "pass"), (1, 23.9, "FAIL"), (2, 24.0, "FAIL")]
)
def test_larq_is_held_against_another_bar_with_two_threads(
    threads: int, larq_ms: float, verdict: str
) -> None:
    found = measured(
        {Case(LARQ, MODEL, YARDSTICK, threads): larq_ms, Case(NATIVE, MODEL, YARDSTICK, threads): 4.0}
    )
    assert [bar.verdict for bar in bars.larq_bars(found, MODEL, [threads])] == [verdict]


@pytest.mark.parametrize(
    ("rival", "times"),
    [
        ("onnxruntime, resnet18 fp32,", (30.0, 40.0, 35.0)),
        ("litert, resnet18 fp32,", (50.0, 40.0, 45.0)),
        ("onnxruntime, resnet18 fp32 (ReLU),", (50.0, 40.0, 35.0)),
    ],
)
def test_fp32_is_held_against_the_fastest_rival(rival: str, times: tuple[float, float, float]) -> None:
    names = (Case(ONNXRUNTIME, MODEL, FP32), Case(LITERT, MODEL, FP32), Case(ONNXRUNTIME, MODEL, RELU))
    found = measured({**dict(zip(names, times, strict=True)), Case(NATIVE, MODEL, FP32): min(times)})
    (bar,) = bars.float_bars(found, MODEL, [1])
    assert rival in bar.what
    assert bar.value == pytest.approx(1)


def test_a_network_is_held_against_the_sum_of_both_ceilings() -> None:
    found = measured(
        {
            Case(POPCOUNT, MODEL, YARDSTICK): 1.5,
            Case(FMA, MODEL, YARDSTICK): 2.5,
            Case(NATIVE, MODEL, YARDSTICK): 5.0,
        }
    )
    (bar,) = bars.ceiling_bars(found, MODEL)
    assert bar.value == pytest.approx(1.25)


def test_what_was_not_measured_is_never_a_pass_and_says_why() -> None:
    found = measured({Case(NATIVE, MODEL, YARDSTICK, 1): 4.0})
    larq = Case(LARQ, MODEL, YARDSTICK, 1)
    found.missing[larq] = "larq-compute-engine is not installed"
    (bar,) = bars.larq_bars(found, MODEL, [1])
    assert bar.verdict == "not measured"
    assert "not installed" in bar.shown


def test_slower_kernels_are_held_against_the_same_rivals() -> None:
    found = measured({Case(LARQ, MODEL, YARDSTICK): 24.0, Case(NATIVE, MODEL, YARDSTICK, 1, "avx2"): 8.0})
    (bar,) = bars.larq_bars(found, MODEL, [1], "avx2")
    assert (bar.value, bar.verdict) == (pytest.approx(3), "FAIL")


def test_many_threads_are_held_against_the_best_number_of_them() -> None:
    cases = [Case(NATIVE, MODEL, FP32, n) for n in (1, 2, 16)]
    for most, ratio in ((20.0, 1.25), (15.2, 0.95)):  # never against itself, also where it is the best
        found = measured(dict(zip(cases, (30.0, 16.0, most), strict=True)))
        (bar,) = bars.oversubscription_bars(found, cases)
        assert bar.value == pytest.approx(ratio)
        assert "16 threads over 2 threads" in bar.what


def test_the_table_shows_figure_limit_and_verdict() -> None:
    text = bars.show([Bar("program", 0.48, "0.48 MB", 1.0, unit="MB")])
    assert text.splitlines()[-1] == "| program | 0.48 MB | ≤ 1 MB | pass |"
