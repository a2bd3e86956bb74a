"""daBNN's artefacts on a device: its project's own two programs, as the user registered them.

``benchmark_single_model`` measures: each repetition is the mean of its runs, an aggregate. ``run`` verifies: it
executes the model on a picture of ones and logs the first ten numbers of each blob; they are compared with what
the model of daBNN's semantics computes here, which `convert` proved the artefact with. Without ``run`` what is
computed on the device stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bibench_deploy.converters.check_rows import Batch, CheckRows
from bibench_deploy.converters.dabnn.semantics import Net
from bibench_deploy.converters.manifest import Manifest
from bibench_deploy.runners.dabnn_output import read_benchmark, read_blobs, refuses
from bibench_deploy.runners.measure import Statistic
from bibench_deploy.runners.registry import Registry
from bibench_deploy.runners.timing import StopRule
from bibench_deploy.runners.workspace import Artefact

from .engine import OwnCheck, Script, Timing
from .facts import DeviceFacts
from .registered import registered_program

_MEASURES, _VERIFIES = "benchmark_single_model", "run"
#: Sizes of the two programs' pictures (``float input[…]``): a model with a larger one reads beyond.
BENCHMARK_INPUT = 999_999
RUN_INPUT = 3 * 224 * 224
#: Numbers of a blob that ``run`` logs.
LOGGED = 10
#: Relative change of the picture that shows whether rounding (of float sums, ~4e-6) flips signs in the model.
NUDGE = 1e-6

# Unknown options are ignored by older versions of Google Benchmark, so --benchmark_min_warmup_time can be given.
_TIME = """
"$program" "$model" --benchmark_format=json --benchmark_repetitions="$runs" --benchmark_min_time="$seconds" \
--benchmark_min_warmup_time="$warmup"
"""
#: Beside its runs the benchmark warms up for so long, s, where it can; it finds the number of runs by trying, too.
_WARMUP_SECONDS = 0.05


class DabnnOnDevice:
    """See ``DeviceEngine``.

    Args:
        registry: the user's programs.
    """

    name = "dabnn"
    statistic: Statistic = "aggregate"
    warmup_runs = 0

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._verifies = any(entry.program == _VERIFIES for entry in registry.entries(self.name))

    def programs(self, facts: DeviceFacts, device: str) -> Mapping[str, Path]:
        """See ``DeviceEngine``; ``run`` only where it was registered."""
        names = {"program": _MEASURES} | ({"verifier": _VERIFIES} if self._verifies else {})
        return {
            variable: registered_program(self._registry, self.name, name, facts, device)
            for variable, name in names.items()
        }

    def refuses(self, manifest: Manifest, threads: int) -> str | None:
        """More threads than one, and a picture that is larger than the benchmark's."""
        size = _input_size(manifest)
        if size > BENCHMARK_INPUT:
            return f"benchmark_single_model takes {BENCHMARK_INPUT:,} numbers, the picture has {size:,}"
        return refuses(threads)

    def timing(self, manifest: Manifest, threads: int, rule: StopRule) -> Script:
        """See ``DeviceEngine``: as many repetitions as runs are wanted, each of at least one run."""
        seconds = rule.min_seconds / rule.min_runs
        return Script(
            _TIME,
            {"runs": rule.min_runs, "seconds": f"{seconds:.6f}", "warmup": f"{_WARMUP_SECONDS:g}"},
        )

    def read_timing(self, manifest: Manifest, stdout: bytes) -> Timing:
        """The means of the repetitions."""
        return Timing([found.mean_ns for found in read_benchmark(stdout.decode("utf-8", "replace"))])

    def check(self, artefact: Artefact) -> CheckRows | None:
        """A picture of ones; ``proven`` is of one that differs by less than rounding, to see if that matters."""
        manifest = artefact.manifest
        if not self._verifies or _input_size(manifest) > RUN_INPUT:
            return None
        net = Net(artefact.path.read_bytes())
        ones: npt.NDArray[np.float32] = np.ones(net.shape, np.float32)
        nudge = np.random.default_rng(0).uniform(-NUDGE, NUDGE, net.shape)
        answers = []
        for picture in (ones, (ones + nudge).astype(np.float32)):
            blobs = net.run(picture)
            answers.append({tensor.name: _logged(blobs[tensor.name]) for tensor in manifest.outputs})
        inputs = {tensor.name: np.ones(tensor.shape, np.float32) for tensor in manifest.inputs}
        return CheckRows((inputs,), (answers[0],), (answers[1],))

    def own_check(self, manifest: Manifest) -> OwnCheck | None:
        """Asks ``run`` for the outputs; it takes no picture but its own."""
        if not self._verifies:
            return None
        names = {f"blob{i}": tensor.name for i, tensor in enumerate(manifest.outputs)}
        asked = " ".join(f'"${variable}"' for variable in names)
        # glog writes to stderr, and a failure's last words are there: they are passed on only if it succeeds.
        text = f"""
said=$("$verifier" "$model" {asked} 2>&1)
ended=$?
if [ "$ended" -ne 0 ]; then printf '%s\\n' "$said" >&2; exit "$ended"; fi
printf '%s\\n' "$said"
"""
        what = f"a picture of ones, the first {LOGGED} numbers of each output"
        return OwnCheck(Script(text, names), lambda stdout: [_answers(manifest, stdout)], what)


def _answers(manifest: Manifest, stdout: bytes) -> Batch:
    """What ``run`` logged of the outputs.

    Raises:
        ValueError: not all of it.
    """
    blobs = read_blobs(stdout.decode("utf-8", "replace"))
    found: dict[str, npt.NDArray[np.float32]] = {}
    for tensor in manifest.outputs:
        wanted = min(LOGGED, int(np.prod(tensor.artefact_shape)))
        numbers = blobs.get(tensor.name, [])
        if len(numbers) != wanted:
            raise ValueError(f"run logged {len(numbers)} of {wanted} numbers of {tensor.name}")
        found[tensor.name] = np.array([numbers], np.float32)
    return found


def _logged(blob: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What ``run`` logs of a blob, as one row."""
    return blob.reshape(1, -1)[:, :LOGGED]


def _input_size(manifest: Manifest) -> int:
    return sum(int(np.prod(tensor.artefact_shape)) for tensor in manifest.inputs)
