"""What ``lce_benchmark_model`` prints, read.

The outputs are real ones, as their owners published them; lines that are not read are left out. QUICKNET: a
Raspberry Pi 4B, larq/docs, "Getting started". LEVELS: TensorFlow Lite's benchmark of today, a level before each
line. ANDROID: with logcat's header. OLD, ONE_WARMUP: of 2019 and 2020.
LCE's program is TensorFlow Lite's with further operators, so that all of these forms exist of it, by its version.
"""

from __future__ import annotations

import pytest

from bibench_deploy.runners.lce_benchmark import Benchmark, read_benchmark

QUICKNET = """\
STARTING!
Duplicate flags: num_threads
Num threads: [1]
Loaded model quicknet.tflite
The input model file size (MB): 3.34914
Initialized session in 3.501ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=12 first=156677 curr=33205 min=32578 max=156677 avg=43268.1 std=34197

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=33228 curr=33130 min=32687 max=33239 avg=33071.8 std=129

Inference timings in us: Init: 3501, First inference: 156677, Warmup (avg): 43268.1, Inference (avg): 33071.8
"""
MEASURED = "count=50 first=33228 curr=33130 min=32687 max=33239 avg=33071.8 std=129"
LEVELS = """\
INFO: Initialized session in 87.639ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=5 first=106436 curr=105929 min=105929 max=106436 avg=106065 std=193 p5=105929 median=105948 p95=106436

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=106022 curr=105780 min=105416 max=106528 avg=105784 std=260 p5=105485 median=105718 p95=106281

INFO: Inference timings in us: Init: 87639, First inference: 106436, Warmup (avg): 106065, Inference (avg): 105784
INFO: Memory footprint delta from the start of the tool (MB): init=14.4414 overall=14.8164
"""
ANDROID = """\
07-14 13:14:52.218 22838 I tflite : Running benchmark for at least 1 iterations and at least 0.5 seconds.
07-14 13:14:52.859 22838 I tflite : count=3 first=235158 curr=200386 min=199462 max=235158 avg=211669 std=16613
07-14 13:14:52.859 22838 I tflite : Running benchmark for at least 25 iterations and at least 1 seconds.
07-14 13:14:56.520 22838 I tflite : count=25 first=187533 curr=140990 min=140071 max=195121 avg=145528 std=13583
07-14 13:14:56.521 22838 I tflite : Inference timings in us: Init: 92318, First inference: 235158, \
Warmup (avg): 211669, Inference (avg): 145528
"""
OLD = """\
Running benchmark for at least 4 iterations and at least 0.5 seconds
count=7 first=127425 curr=66709 min=66709 max=127425 avg=76605.9 std=20944

Running benchmark for at least 10 iterations and at least 1 seconds
count=15 first=66753 curr=66800 min=66699 max=66838 avg=66767.6 std=39

Average inference timings in us: Warmup: 76605.9, Init: 9933, no stats: 66767.6
"""
ONE_WARMUP = """\
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=1 curr=751932

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=747738 curr=747428 min=747331 max=748577 avg=747733 std=293

Average inference timings in us: Warmup: 751932, Init: 21039, no stats: 747733
"""


@pytest.mark.parametrize(
    ("text", "mean_us", "runs"),
    [
        pytest.param(QUICKNET, 33071.8, 50, id="a Raspberry Pi 4B"),
        pytest.param(LEVELS, 105784, 50, id="levels before the lines"),
        pytest.param(ANDROID, 145528, 25, id="logcat's headers"),
        pytest.param(OLD, 66767.6, 15, id="of 2019"),
        pytest.param(ONE_WARMUP, 747733, 50, id="one run to warm up"),
        # Forms of tensorflow/core/util/stats_calculator.h that no published output shows.
        pytest.param(
            QUICKNET.replace("avg=33071.8", "avg=1.29563e+06").replace(
                "(avg): 33071.8", "(avg): 1.29563e+06"
            ),
            1_295_630,
            50,
            id="a second and more is printed with an exponent",
        ),
        pytest.param(
            QUICKNET.replace(MEASURED, "count=1 curr=33130").replace("(avg): 33071.8", "(avg): 33130"),
            33130,
            1,
            id="one run",
        ),
        pytest.param(
            QUICKNET.replace(MEASURED, "count=50 curr=33130(all same)").replace(
                "(avg): 33071.8", "(avg): 33130"
            ),
            33130,
            50,
            id="runs of the same time",
        ),
    ],
)
def test_the_mean_of_the_measured_runs_is_read(text: str, mean_us: float, runs: int) -> None:
    assert read_benchmark(text) == Benchmark(round(mean_us * 1000), runs)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "0 of its 2 phases", id="nothing"),
        pytest.param(
            QUICKNET[: QUICKNET.index("\n\nRunning")], "1 of its 2 phases", id="ended while warming up"
        ),
        pytest.param(QUICKNET[: QUICKNET.index("\nInference timings")], "no result", id="no summary"),
        pytest.param(QUICKNET.replace("count=50", "count=0"), "measured nothing", id="no runs"),
        pytest.param(QUICKNET.replace("avg=33071.8", "avg=66000.1"), "contradicts itself", id="two means"),
        pytest.param(QUICKNET + QUICKNET, "4 of its 2 phases", id="two calls"),
    ],
)
def test_what_is_no_measurement_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_benchmark(text)
