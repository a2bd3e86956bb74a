"""Larq's artefacts on a device: the user's registered ``lce_benchmark_model``.

It prints the mean of a turn's runs and no outputs: its latencies are aggregates, and what it computes on the device
stays unknown. It chooses the binary kernel itself: the default one, which is the fastest on ARM.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bibench_deploy.converters.check_rows import CheckRows
from bibench_deploy.converters.manifest import Manifest
from bibench_deploy.runners.lce_benchmark import read_benchmark
from bibench_deploy.runners.measure import Statistic
from bibench_deploy.runners.registry import Registry
from bibench_deploy.runners.timing import WARMUP_RUNS, StopRule
from bibench_deploy.runners.workspace import Artefact

from .engine import Script, Timing
from .facts import DeviceFacts
from .registered import registered_program

_PROGRAM = "lce_benchmark_model"
_KERNEL = "default"
# The step's own timeout ends a hanging program; the benchmark's default of 150 s would end a slow board's turn.
_MOST_SECONDS = 86_400

# Some versions print to the one, some to the other stream. The last line of a failure says nothing.
_TIME = """
said=$("$program" --graph="$model" --num_threads="$threads" --num_runs="$runs" --min_secs="$seconds" \
--max_secs="$most" --warmup_runs="$warmup" --warmup_min_secs=0 2>&1)
ended=$?
if [ "$ended" -ne 0 ]; then
  printf '%s\\n' "$said" | sed '/Benchmarking failed/d' >&2
  exit "$ended"
fi
printf '%s\\n' "$said"
"""


class LarqOnDevice:
    """See ``DeviceEngine``.

    Args:
        registry: the user's programs.
    """

    name = "larq"
    statistic: Statistic = "aggregate"
    warmup_runs = WARMUP_RUNS

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def programs(self, facts: DeviceFacts, device: str) -> Mapping[str, Path]:
        """See ``DeviceEngine``."""
        return {"program": registered_program(self._registry, self.name, _PROGRAM, facts, device)}

    def refuses(self, manifest: Manifest, threads: int) -> str | None:
        """Takes any number."""
        return None

    def timing(self, manifest: Manifest, threads: int, rule: StopRule) -> Script:
        """See ``DeviceEngine``."""
        return Script(
            _TIME,
            {
                "threads": threads,
                "runs": rule.min_runs,
                "seconds": f"{rule.min_seconds:.6f}",
                "most": _MOST_SECONDS,
                "warmup": self.warmup_runs,
            },
        )

    def read_timing(self, manifest: Manifest, stdout: bytes) -> Timing:
        """The mean of the turn."""
        found = read_benchmark(stdout.decode("utf-8", "replace"))
        return Timing([found.mean_ns], _KERNEL if manifest.binary_ops else None)

    def check(self, artefact: Artefact) -> CheckRows | None:
        """None: it tells no outputs."""
        return None
