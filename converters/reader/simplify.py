"""Constants are folded and identities applied until nothing changes."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from bibench_deploy.errors import UnsupportedModelError
from bibench_deploy.graph.edit import static_shape

from .fold import fold_constants, shrink_constants
from .identities import apply_identities


def simplify(model: ir.Model, where: str) -> None:
    """Steps 1 and 2 of recognition, in place; afterwards every value has a static shape.

    Args:
        where: the file, for errors.

    Raises:
        UnsupportedModelError: the shape of a value depends on the data.
    """
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ShapeInferencePass(check_type=False, strict_mode=False)(model)
    changed = True
    while changed:
        changed = fold_constants(model)
        CommonSubexpressionEliminationPass()(model)
        changed |= apply_identities(model)
        shrink_constants(model.graph)
        RemoveUnusedNodesPass()(model)
        if changed:
            ShapeInferencePass(check_type=False, strict_mode=False)(model)
    for node in model.graph:
        for value in node.outputs:
            if static_shape(value) is None and (value.uses() or value.is_graph_output()):
                raise UnsupportedModelError(
                    f"node {node.name or value.name} ({node.op_type}): the shape of its output depends on the data",
                    where=where,
                    remedy="export the model with fixed sizes, without data-dependent indexing",
                )
