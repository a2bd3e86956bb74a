"""PyTorch model → ONNX file, with what is known about it in its metadata."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import nn

from bibench_deploy.errors import InputError
from bibench_deploy.files import write_atomically

Exporter = Literal["torchscript", "dynamo"]

DEFAULT_OPSET: Mapping[str, int] = {"torchscript": 17, "dynamo": 18}
# What the installed exporters honour: TorchScript's symbolic functions end at 20; dynamo's start at 18.
OPSETS: Mapping[str, range] = {"torchscript": range(11, 21), "dynamo": range(18, 24)}

INPUT, OUTPUT, BATCH = "input", "logits", "N"


def check_exporter(exporter: str, opset: int | None) -> tuple[Exporter, int]:
    """The exporter and operator set to use; InputError with the choices otherwise."""
    if exporter not in OPSETS:
        raise InputError(f"unknown exporter '{exporter}'", remedy=f"choose one of: {', '.join(OPSETS)}")
    chosen = DEFAULT_OPSET[exporter] if opset is None else opset
    allowed = OPSETS[exporter]
    if chosen not in allowed:
        raise InputError(
            f"the {exporter} exporter doesn't write operator set {chosen}",
            where="--opset",
            remedy=f"choose {allowed.start} to {allowed.stop - 1}",
        )
    return ("dynamo" if exporter == "dynamo" else "torchscript"), chosen


def to_onnx(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    exporter: Exporter = "torchscript",
    opset: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The model as checked ONNX: "input" (N, C, H, W) float32 → "logits" (N, classes), N free.

    Args:
        model: in evaluation mode.
        input_shape: (C, H, W).
        exporter: torch's TorchScript exporter or the one of torch.export.
        opset: operator set; by default 17 and 18.
        metadata: goes to ``metadata_props``.

    Raises:
        InputError: an operator set that the exporter doesn't write.
    """
    exporter, opset = check_exporter(exporter, opset)
    # Two images: torch.export would take a batch of one for a constant.
    example = torch.zeros(2, *input_shape)
    with torch.no_grad(), _silenced():
        if exporter == "torchscript":
            buffer = io.BytesIO()
            torch.onnx.export(
                model,
                (example,),
                buffer,  # type: ignore[arg-type]  # this exporter takes a stream; the annotation does not say so
                dynamo=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
            )
            proto = onnx.load_from_string(buffer.getvalue())
        else:
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
                verbose=False,
            )
            assert program is not None
            proto = program.model_proto
            _drop_stack_traces(proto)
    onnx.helper.set_model_props(proto, dict(metadata or {}))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def save(proto: onnx.ModelProto, path: Path) -> None:
    """Write the model atomically; errors as ``write_atomically``'s."""
    write_atomically(path, proto.SerializeToString())


def _drop_stack_traces(proto: onnx.ModelProto) -> None:
    """torch.export notes the exporting machine's source paths at every node; a model is no place for them."""
    for node in proto.graph.node:
        kept = [entry for entry in node.metadata_props if not entry.key.endswith("stack_trace")]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep the exporters' own progress and deprecation notices off the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
