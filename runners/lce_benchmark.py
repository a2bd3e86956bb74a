"""What ``lce_benchmark_model`` prints, as numbers; pure.

It is TensorFlow Lite's benchmark with Larq's operators. It runs the model on random inputs, first to warm up and
then to measure, prints statistics of each of the two, and a summary in µs. It prints no single runs.

Source: tensorflow/lite/tools/benchmark/{benchmark_model,benchmark_tflite_model}.cc and
tensorflow/core/util/stats_calculator.h; larq_compute_engine/tflite/benchmark of larq/compute-engine.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = r"(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
#: Before each of the two; newer versions put a level or Android's log header in front of every line.
_BEGINS = "Running benchmark for at least"
_COUNT = re.compile(r"\bcount=(\d+)\b[^\n]*")
#: The summary: since TensorFlow 2.2, and before.
_SUMMARY = re.compile(
    rf"Inference \(avg\): {_NUMBER}|Average inference timings in us: .*\bno stats: {_NUMBER}"
)
_MEAN = re.compile(rf"\bavg={_NUMBER}")
#: Where all runs took the same time, or there was one, the newest stands for all.
_NEWEST = re.compile(rf"\bcurr={_NUMBER}")
#: The numbers are printed with six digits.
_SAME = 1e-4


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Attributes:
        mean_ns: of the runs, wall time.
        runs: how many.
    """

    mean_ns: int
    runs: int


def read_benchmark(text: str) -> Benchmark:
    """The measured runs of one call.

    Raises:
        ValueError: the output is another program's, or ends before the measurement did, or contradicts itself.
    """
    phases = text.split(_BEGINS)[1:]
    if len(phases) != 2:
        raise ValueError(f"lce_benchmark_model began {len(phases)} of its 2 phases")
    counted, summary = _COUNT.search(phases[1]), _SUMMARY.search(phases[1])
    if counted is None or summary is None:
        raise ValueError("lce_benchmark_model printed no result of the measurement")
    runs = int(counted[1])
    mean = _MEAN.search(counted[0]) or _NEWEST.search(counted[0])
    if runs < 1 or mean is None:
        raise ValueError("lce_benchmark_model measured nothing")
    mean_us = float(summary[1] or summary[2])
    if not math.isclose(mean_us, float(mean[1]), rel_tol=_SAME):
        raise ValueError(f"lce_benchmark_model contradicts itself: {mean_us} µs and {mean[1]} µs")
    if mean_us <= 0:
        raise ValueError("lce_benchmark_model measured no time")
    return Benchmark(round(mean_us * 1000), runs)
