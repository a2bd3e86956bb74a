"""Larq artefacts on this machine, in LCE's interpreter.

LCE has three kernels for binary convolutions, and which one is fastest depends on the machine: on x86-64 the
default one is four times slower than the indirect one. Some refuse some layers: the default one grouped
convolutions, the reference one an odd number of zero-padded channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, Literal

import numpy as np

from bibench_deploy.converters.engine import TensorView
from bibench_deploy.converters.larq import lce
from bibench_deploy.errors import EngineError

from .base import Array, Arrays, as_artefact

Kernel = Literal["indirect", "default", "reference"]
#: Kernel → LCE's switches (use_reference_bconv, use_indirect_bgemm). The first that runs measures the others.
KERNELS: Mapping[Kernel, tuple[bool, bool]] = {
    "indirect": (False, True),
    "default": (False, False),
    "reference": (True, False),
}
#: Outputs of two kernels that differ by more, relative to the largest, are not the same function. The
#: reference kernel sums in float and differs by 6e-7; a flipped sign differs by far more.
AGREEMENT = 1e-4
_BINARY_OPERATOR = b"LceBconv2d"


@dataclass(frozen=True)
class KernelChoice:
    """Which kernel was chosen and why.

    Attributes:
        kernel: the fastest that is correct; None where the artefact has no binary convolution.
        fastest_ms: kernel → its fastest run in ms, of those that are correct.
        refused: kernel → why it was left out.
    """

    kernel: Kernel | None
    fastest_ms: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


class LarqSession:
    """A .tflite with Larq's operators, opened in LCE's interpreter.

    Args:
        data: the artefact, or its probe.
        inputs, outputs: how its tensors are seen, in its order.
        threads: number of threads.
        kernel: of the binary convolutions; "auto" times all that run, see ``fastest_kernel``.
        xnnpack: whether XNNPACK executes the float operators.

    Raises:
        EngineError: LCE refuses the artefact.
        MissingExtraError: LCE is not installed.
    """

    def __init__(
        self,
        data: bytes,
        inputs: Sequence[TensorView],
        outputs: Sequence[TensorView],
        threads: int = 1,
        kernel: Kernel | Literal["auto"] = "auto",
        xnnpack: bool = False,
    ) -> None:
        self.choice = (
            fastest_kernel(data, inputs, threads)
            if kernel == "auto"
            else KernelChoice(kernel if _BINARY_OPERATOR in data else None)
        )
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._interpreter = _opened(data, self.choice.kernel or "indirect", threads, xnnpack)

    @property
    def kernel(self) -> str | None:
        """The kernel of the binary convolutions; None where there is none."""
        return self.choice.kernel

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Execute one batch; names and layout of the ONNX model.

        Raises:
            DataError: an input is missing or has another shape.
            EngineError: LCE failed.
        """
        results = self.prepared(inputs)()
        return {view.name: view.as_model(a) for view, a in zip(self._outputs, results, strict=True)}

    def prepared(self, inputs: Arrays) -> Callable[[], list[Array]]:
        """A call that executes the artefact on these inputs; arrays in the artefact's layout.

        Raises:
            DataError: an input is missing or has another shape.
        """
        arrays = as_artefact(inputs, self._inputs)
        return lambda: _predicted(self._interpreter, arrays)


def fastest_kernel(
    data: bytes,
    inputs: Sequence[TensorView],
    threads: int = 1,
    rounds: int = 3,
    clock: Callable[[], int] = perf_counter_ns,
) -> KernelChoice:
    """Time every kernel that computes the same on random inputs, in turns, and choose the fastest.

    Args:
        data: the artefact.
        inputs: how its inputs are seen.
        threads: number of threads.
        rounds: timed runs of each kernel, after one that warms up.
        clock: ns.

    Raises:
        EngineError: no kernel executes the artefact.
        MissingExtraError: LCE is not installed.
    """
    if _BINARY_OPERATOR not in data:
        return KernelChoice(None)
    rng = np.random.default_rng(0)
    arrays: list[Array] = [rng.standard_normal(view.artefact_shape).astype(np.float32) for view in inputs]
    opened: dict[Kernel, Any] = {}
    outputs: dict[Kernel, list[Array]] = {}
    refused: dict[str, str] = {}
    for kernel in KERNELS:
        try:
            interpreter = _opened(data, kernel, threads)
            result = _predicted(interpreter, arrays)
        except EngineError as error:
            refused[kernel] = error.message
            continue
        yardstick = next(iter(outputs.values()), result)
        if not _agree(yardstick, result):
            refused[kernel] = f"its outputs are not those of the {next(iter(outputs))} kernel"
            continue
        opened[kernel], outputs[kernel] = interpreter, result
    if not opened:
        raise EngineError(
            "none of LCE's kernels executes the artefact: "
            + "; ".join(f"{kernel}: {why}" for kernel, why in refused.items()),
            remedy="please report it with the artefact",
        )
    times: dict[Kernel, float] = dict.fromkeys(opened, float("inf"))
    for _ in range(rounds):
        for kernel, interpreter in opened.items():
            start = clock()
            _predicted(interpreter, arrays)
            times[kernel] = min(times[kernel], (clock() - start) / 1e6)
    best = min(times, key=lambda kernel: times[kernel])
    return KernelChoice(best, {str(kernel): ms for kernel, ms in times.items()}, refused)


def _agree(a: Sequence[Array], b: Sequence[Array]) -> bool:
    """Whether two kernels' outputs are the same up to the order of summation."""
    return all(
        np.abs(x - y).max(initial=0) <= AGREEMENT * max(np.abs(x).max(initial=0), 1e-6)
        for x, y in ((x.astype(np.float64), y.astype(np.float64)) for x, y in zip(a, b, strict=True))
    )


def _opened(data: bytes, kernel: Kernel, threads: int, xnnpack: bool = False) -> Any:
    reference, indirect = KERNELS[kernel]
    return lce.interpreter(data, threads, reference, indirect, xnnpack)


def _predicted(interpreter: Any, arrays: Sequence[Array]) -> list[Array]:
    """Run an interpreter.

    Raises:
        EngineError: it failed.
    """
    try:
        results: list[Array] = interpreter.predict(arrays)
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            f"LCE's interpreter failed: {error}", remedy="please report it with the artefact"
        ) from error
    return results
