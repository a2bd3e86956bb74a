"""A plain ONNX model, executed by onnxruntime on this machine's CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from bibench_deploy.errors import EngineError, ModelFileError, UnsupportedModelError

from .arrays import InputSpec

# onnxruntime's names of the types that an .npz can hold.
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


class OnnxSession:
    """An ONNX model.

    Args:
        file: the model.
        threads: of onnxruntime within an operator.

    Raises:
        ModelFileError: no such file, or onnxruntime can't load it.
        UnsupportedModelError: an input is not a tensor of a plain type, or has no batch axis.
    """

    def __init__(self, file: Path, threads: int) -> None:
        import onnxruntime

        from bibench_deploy.converters.reader.evaluate import FUSIONS_INTO_WEIGHTS

        if not file.is_file():
            raise ModelFileError("there is no such file", where=str(file), remedy="check the path")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # its errors are raised; its own log would say them twice
        self._file = file
        try:
            self._session = onnxruntime.InferenceSession(
                str(file),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=FUSIONS_INTO_WEIGHTS,  # the reference of what artefacts compute
            )
        except Exception as error:  # onnxruntime's exceptions have no common class but Exception
            raise ModelFileError(
                f"onnxruntime can't load it ({_first_line(error)})",
                where=str(file),
                remedy="check it with onnx.checker.check_model",
            ) from error
        self.inputs = tuple(self._spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    @property
    def batch(self) -> int | None:
        """Rows that the model takes at once; None where any number will do."""
        fixed = {spec.shape[0] for spec in self.inputs} - {None}
        return next(iter(fixed)) if fixed else None

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """One batch.

        Raises:
            EngineError: onnxruntime failed.
        """
        try:
            values = self._session.run(None, dict(feeds))
        except Exception as error:  # as above
            raise EngineError(f"onnxruntime failed ({_first_line(error)})", where=str(self._file)) from error
        return dict(zip(self.outputs, values, strict=True))

    def _spec(self, node: Any) -> InputSpec:
        shape = tuple(size if isinstance(size, int) else None for size in node.shape)
        if node.type not in _DTYPES or not shape:
            raise UnsupportedModelError(
                f"input '{node.name}' is {node.type} of shape {list(node.shape)}; "
                "only tensors with a batch axis can be given as rows",
                where=str(self._file),
            )
        return InputSpec(node.name, shape, _DTYPES[node.type])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
