"""``bibench-run`` on a device: built here for the device's target, one static program that needs nothing there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bibench_deploy.converters.check_rows import Batch, CheckRows, read_check
from bibench_deploy.converters.manifest import Manifest
from bibench_deploy.errors import DeviceUnfitError
from bibench_deploy.runners.base import as_artefact
from bibench_deploy.runners.measure import Statistic
from bibench_deploy.runners.native_build import Progress, build, program
from bibench_deploy.runners.native_engine import NativeSession
from bibench_deploy.runners.observer import Usage
from bibench_deploy.runners.operators import Operator, options, read_operators
from bibench_deploy.runners.session import view
from bibench_deploy.runners.timing import WARMUP_RUNS, StopRule
from bibench_deploy.runners.workspace import Artefact

from .engine import Script, Timing
from .facts import DeviceFacts

#: (system, machine), as ``uname`` prints them → target. A static program needs the kernel's word size only: one of
#: 64 bits runs under a 32-bit userland, too.
_TARGETS = {
    ("Linux", "x86_64"): "x86_64-linux",
    ("Linux", "aarch64"): "aarch64-linux",
    ("Linux", "armv8l"): "armv7-linux",  # a 32-bit personality on a 64-bit core
    ("Linux", "armv7l"): "armv7-linux",
    ("Darwin", "aarch64"): "aarch64-macos",
}

#: Of the process, as ``getrusage`` tells them; in the order of ``Usage``.
_COUNTS = (
    "page_faults_minor",
    "page_faults_major",
    "context_switches_voluntary",
    "context_switches_involuntary",
)

_TIME = '"$program" "$model" --threads "$threads" --min-time "$seconds" --min-runs "$runs" --warmup "$warmup"'

# One process for all batches: --serve reads "run IN<tab>OUT" lines. Names are relative, so that no path is parsed.
_EXECUTE = r"""
cd "$scratch" || exit 1
tab=$(printf '\t')
i=0
while [ "$i" -lt "$batches" ]; do
  if ! dd if="$inputs" of="x$i" bs="$bytes" skip="$i" count=1 2>/dev/null; then
    echo "no room for the inputs" >&2; exit 1
  fi
  echo "run x$i${tab}y$i"
  i=$((i + 1))
done > requests || exit 1
"$program" "$model" --serve --threads "$threads" < requests > answers || exit $?
i=0
while read -r word rest; do
  if [ "$word" != ok ]; then echo "bibench-run: $rest" >&2; exit 2; fi
  cat "y$i" || exit 1
  i=$((i + 1))
done < answers
[ "$i" = "$batches" ] || { echo "bibench-run: $i of $batches batches were answered" >&2; exit 2; }
"""


class NativeOnDevice:
    """See ``DeviceEngine``, ``Executes``, ``TellsOperators``.

    Args:
        progress: told if a program has to be built.
        builder: gives the program for a target.
    """

    name = "native"
    statistic: Statistic = "samples"
    warmup_runs = WARMUP_RUNS

    def __init__(
        self, progress: Progress = lambda message: None, builder: Callable[[str], Path] | None = None
    ) -> None:
        self._builder = builder or (lambda target: build(target, progress=progress))
        self._building = threading.Lock()  # devices of one kind want the same program at the same moment

    def programs(self, facts: DeviceFacts, device: str) -> Mapping[str, Path]:
        """See ``DeviceEngine``."""
        target = _TARGETS.get((facts.system or "", facts.machine or ""))
        if target is None:
            raise DeviceUnfitError(
                f"bibench-run is not made for {facts.system or 'an unknown system'} on "
                f"{facts.machine or 'an unknown processor'}",
                device=device,
                step="choosing the program",
                remedy=f"it runs on: {', '.join(sorted({f'{system} {arch}' for system, arch in _TARGETS}))}",
            )
        with self._building:
            return {"program": self._builder(target)}

    def refuses(self, manifest: Manifest, threads: int) -> str | None:
        """Takes any number."""
        return None

    def timing(self, manifest: Manifest, threads: int, rule: StopRule) -> Script:
        """See ``DeviceEngine``."""
        return Script(
            _TIME,
            {
                "threads": threads,
                "seconds": f"{rule.min_seconds:.6f}",
                "runs": rule.min_runs,
                "warmup": self.warmup_runs,
            },
        )

    def layers(self, threads: int) -> Script:
        """See ``TellsOperators``."""
        return Script('"$program" "$model" ' + " ".join(options(threads)), {})

    def read_layers(self, stdout: bytes) -> list[Operator]:
        """See ``TellsOperators``."""
        return read_operators(stdout.decode(errors="replace"))

    def read_timing(self, manifest: Manifest, stdout: bytes) -> Timing:
        """See ``DeviceEngine``."""
        lines = stdout.splitlines()
        if len(lines) != 1:
            raise ValueError(f"{len(lines)} lines where one was expected")
        result = json.loads(lines[0])
        try:
            samples = [int(sample) for sample in result["samples_ns"]]
            if not samples or min(samples) <= 0:
                raise ValueError("a run takes a positive time")
            minor, major, voluntary, involuntary = (
                int(result[name]) if name in result else None for name in _COUNTS
            )
            peak = int(result["peak_rss_bytes"]) or None  # 0 where the system does not tell
            handovers = (float(result["handover_ns"]),) if "handover_ns" in result else ()
            usage = Usage(peak, minor, major, voluntary, involuntary, handovers_ns=handovers)
            return Timing(samples, str(result["kernel"]), usage)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a measurement ({error!r})") from error

    def check(self, artefact: Artefact) -> CheckRows | None:
        """The rows that `convert` stored."""
        return read_check(artefact.path, artefact.manifest)

    def execution(self, manifest: Manifest, batches: int, threads: int) -> Script:
        """See ``Executes``."""
        size = 4 * sum(int(np.prod(tensor.artefact_shape)) for tensor in manifest.inputs)
        return Script(_EXECUTE, {"batches": batches, "bytes": size, "threads": threads})

    def elsewhere(self, manifest: Manifest, data: bytes, batches: Sequence[Batch]) -> list[Batch]:
        """By the portable kernels, which do without fused multiply-add."""
        inputs, outputs = ([view(t) for t in tensors] for tensors in (manifest.inputs, manifest.outputs))
        command = ("env", "BIBENCH_ISA=portable", *program())
        session = NativeSession(data, inputs, outputs, command=command)
        return [session.run(batch) for batch in batches]

    def packed(self, manifest: Manifest, batches: Sequence[Batch]) -> bytes:
        """Raw little-endian float32 in the artefact's layout, one input after the other."""
        views = [view(tensor) for tensor in manifest.inputs]
        return b"".join(
            np.ascontiguousarray(array, "<f4").tobytes()
            for batch in batches
            for array in as_artefact(batch, views)
        )

    def unpacked(self, manifest: Manifest, data: bytes) -> list[Batch]:
        """See ``Executes``."""
        views = [view(tensor) for tensor in manifest.outputs]
        sizes = [int(np.prod(v.artefact_shape)) for v in views]
        if not data or len(data) % (4 * sum(sizes)) != 0:
            raise ValueError(f"{len(data)} bytes where batches of {4 * sum(sizes)} were expected")
        batches = np.frombuffer(data, "<f4").reshape(-1, sum(sizes))
        ends = np.cumsum(sizes)[:-1]
        return [
            {v.name: v.as_model(part) for v, part in zip(views, np.split(row, ends), strict=True)}
            for row in batches
        ]
