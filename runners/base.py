"""What every engine's runner offers: an artefact that is open for execution in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from bibench_deploy.converters.engine import TensorView
from bibench_deploy.errors import DataError

from .operators import Operator
from .timing import StopRule

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]


class Session(Protocol):
    """One artefact, opened with a number of threads.

    Attributes:
        kernel: which of the engine's kernels executes it; None where there is no choice.
    """

    @property
    def kernel(self) -> str | None: ...

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Execute one batch of the model's own size, in the ONNX model's names and layout (NCHW).

        Raises:
            DataError: an input is missing or has another shape.
            EngineError: the engine failed.
        """
        ...

    def prepared(self, inputs: Arrays) -> Callable[[], object]:
        """A call that executes the artefact on these inputs and converts nothing: what is timed.

        Raises:
            DataError: an input is missing or has another shape.
        """
        ...


@runtime_checkable
class TimesItself(Protocol):
    """A session whose engine runs outside of this process and takes its own times.

    Attributes:
        peak_memory_bytes: the largest resident set of the engine's process in the last turn; None before.
        handovers_ns: what a cache line took from one of its threads to another, once a turn; fewer where it does
            not tell.
    """

    @property
    def peak_memory_bytes(self) -> int | None: ...

    @property
    def handovers_ns(self) -> Sequence[float]: ...

    def samples(self, rule: StopRule) -> list[int]:
        """Latencies in ns until the rule says enough.

        Raises:
            EngineError: the engine failed.
        """
        ...


@runtime_checkable
class TellsOperators(Protocol):
    """A session whose engine tells how long each layer takes."""

    def operators(self, cpus: Sequence[int] = ()) -> list[Operator]:
        """The layers, each timed by itself.

        Args:
            cpus: cores to pin to.

        Raises:
            EngineError: the engine failed.
        """
        ...


def as_artefact(inputs: Arrays, views: Sequence[TensorView]) -> list[Array]:
    """Inputs in the artefact's order and layout, float32.

    Raises:
        DataError: one is missing, unknown or has another shape.
    """
    unknown = sorted(set(inputs) - {view.name for view in views})
    missing = [view.name for view in views if view.name not in inputs]
    if unknown or missing:
        raise DataError(
            f"the artefact takes {', '.join(view.name for view in views)}, not {', '.join(sorted(inputs))}",
            where=f"input {(missing or unknown)[0]}",
        )
    for view in views:
        if inputs[view.name].shape != view.shape:
            raise DataError(
                f"its shape is {inputs[view.name].shape}, and the artefact takes {view.shape}",
                where=f"input {view.name}",
                remedy="give batches of the size that the model was converted with",
            )
    return [view.as_artefact(inputs[view.name].astype(np.float32, copy=False)) for view in views]
