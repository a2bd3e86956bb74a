"""What daBNN's own programs print, as numbers; pure.

``benchmark_single_model MODEL --benchmark_format=json --benchmark_repetitions=N`` is Google Benchmark: one
entry a repetition, each the mean of some runs on whatever lies in its buffer of 999,999 numbers. ``run MODEL
BLOB...`` executes the model once on a picture of ones (at most 3·224·224 numbers) and logs the first ten
numbers of each blob through glog.

Source: benchmark/benchmark_single_model.cpp and binaries/run.cpp of JDAI-CV/dabnn at commit d93aa95.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

#: Name under which the program registers its one benchmark.
_BENCHMARK = "single_model"
#: Unit of Google Benchmark → ns.
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
#: "I1122 02:11:11.123456 12345 run.cpp:47] " in front of what is logged; the time and thread vary with glog.
_PREFIX = r"^(?:[IWEF]\d{4,8} .*?\] )?"
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan)"


@dataclass(frozen=True)
class Repetition:
    """One repetition of the benchmark.

    Attributes:
        mean_ns: of its runs, wall time.
        runs: how many.
    """

    mean_ns: int
    runs: int


def read_benchmark(stdout: str) -> list[Repetition]:
    """The repetitions that ``benchmark_single_model`` measured, in order; aggregates are left out.

    Raises:
        ValueError: not its JSON, or nothing was measured.
    """
    try:
        entries = json.loads(stdout)["benchmarks"]
        found = [
            Repetition(
                round(float(entry["real_time"]) * _UNITS[entry["time_unit"]]), int(entry["iterations"])
            )
            for entry in entries
            if entry["name"].split("/")[0] == _BENCHMARK and entry.get("run_type", "iteration") == "iteration"
        ]
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"not the output of benchmark_single_model ({error!r})") from error
    if not found or min(repetition.mean_ns for repetition in found) <= 0:
        raise ValueError("benchmark_single_model measured nothing")
    return found


def read_blobs(stderr: str) -> dict[str, list[float]]:
    """The first numbers of the blobs that ``run`` was asked for, by name.

    Raises:
        ValueError: it logged none.
    """
    line = re.compile(rf"{_PREFIX}(?P<blob>.+): (?P<number>{_NUMBER})$", re.MULTILINE)
    found: dict[str, list[float]] = {}
    for match in line.finditer(stderr):
        found.setdefault(match["blob"], []).append(float(match["number"]))
    if not found:
        raise ValueError("run logged no blob")
    return found


def refuses(threads: int) -> str | None:
    """Why daBNN can't take so many threads; None if it can: it never starts one."""
    return None if threads == 1 else "daBNN runs on one thread"
