"""ONNX in, binary graph out: recognition by meaning, not by one exporter's spelling.

::

    model_file  the ONNX file and its external data, from the model's folder alone
    load        file → reference model: checked, batch fixed, operator set ≥ 18
    simplify    until nothing changes:
      fold        constants computed once
      identities  straight-through residue removed
    recognise   every convolution and linear layer decided
      weights     are they ±s in each output channel?
      trace       is the input a two-valued step of a real tensor?
        plans       the answer: how a tensor is two-valued
        regions     the elementwise nodes in between
        steps       what step they compute, by evaluation on a grid
        ranges      bounds that settle torch.sign's third value
      build       Binarize and BinaryConv / BinaryLinear nodes
"""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass

from bibench_deploy.graph import BinaryGraph, add_domain

from .evaluate import check_executes
from .load import load
from .recognise import recognise
from .simplify import simplify

__all__ = ["read"]


def read(path: Path | str) -> BinaryGraph:
    """Read an ONNX file and recognise its binary layers.

    Raises:
        ModelFileError, UnsupportedModelError: see ``load``; or onnxruntime can't execute the model.
    """
    source = load(Path(path))
    check_executes(source.proto, str(source.path))
    model = ir.from_proto(source.proto)
    simplify(model, str(source.path))
    layers = recognise(model)
    RemoveUnusedNodesPass()(model)
    NameFixPass()(model)
    add_domain(model)
    return BinaryGraph(model, source, layers)
