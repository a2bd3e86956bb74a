"""daBNN artefacts on this machine, where its library can't run: executed by a model of its semantics.

daBNN runs on Arm alone. To compute, ``converters.dabnn.semantics`` executes the file with numpy as the library
would; to measure, a device is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bibench_deploy.converters.dabnn.semantics import Net
from bibench_deploy.converters.engine import TensorView
from bibench_deploy.errors import EngineError

from .base import Array, Arrays, as_artefact

KERNEL = "semantic model"


class DabnnSession:
    """A .dab opened in the model of daBNN's semantics.

    Args:
        data: the artefact, or its probe.
        inputs, outputs: how its picture and its blobs are seen; a blob bears the name of the model's value.
        threads: daBNN runs on one, whatever it is given.

    Raises:
        ArtefactError: not a ``.dab``, or one that daBNN would not execute correctly.
    """

    def __init__(
        self, data: bytes, inputs: Sequence[TensorView], outputs: Sequence[TensorView], threads: int = 1
    ) -> None:
        self._net = Net(data)
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)

    @property
    def kernel(self) -> str | None:
        """No kernel of the library."""
        return KERNEL

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Execute one picture; names and layout of the ONNX model.

        Raises:
            DataError: an input is missing or has another shape.
        """
        (picture,) = as_artefact(inputs, self._inputs)
        blobs = self._net.run(picture.astype(np.float32, copy=False))
        return {view.name: view.as_model(blobs[view.name]) for view in self._outputs}

    def prepared(self, inputs: Arrays) -> Callable[[], object]:
        """Nothing that could be timed.

        Raises:
            EngineError: always.
        """
        raise EngineError(
            "daBNN runs on Arm devices alone; the time of the model that executes its artefacts here says "
            "nothing about it",
            remedy="measure it on a device, and larq or native on this machine",
        )
