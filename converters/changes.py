"""Changes of function that the user allowed, made in the graph where everyone can see them.

An emitter never changes a function: what was allowed is applied to the binary graph first, and from then on the
changed graph is the reference that the artefact is verified against. The manifest lists the changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from bibench_deploy.graph import BinaryGraph, is_binarize

from .deployability import Allowed, Change


def apply_changes(graph: BinaryGraph, changes: Sequence[Change], allowed: Allowed) -> BinaryGraph:
    """The graph with the changes made; the same graph if there are none."""
    if not changes:
        return graph
    model = graph.model.clone()
    nodes = {node.name: node for node in model.graph}
    for change in changes:
        node = nodes[change.node]
        if change.key == "padding" and allowed.padding is not None:
            node.attributes["pad_value"] = ir.AttrFloat32("pad_value", allowed.padding)
        elif change.key == "sign-zero" and is_binarize(node) and allowed.sign_zero is not None:
            node.attributes["at_threshold"] = ir.AttrFloat32("at_threshold", allowed.sign_zero)
    return replace(graph, model=model, source=replace(graph.source, proto=ir.to_proto(model)))
