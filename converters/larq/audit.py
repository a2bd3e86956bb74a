"""Whether an artefact is what it should be: as many binary operators as binary layers, nothing unknown.

A float convolution where a binary one was meant runs, is right, and is ten times too slow; LCE's converter
falls back to it without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bibench_deploy.errors import ConversionError

from .flatbuffer import LCE_CONV, LCE_OPERATORS, WEIGHTED, Artefact, Operator


def binary_ops(artefact: Artefact) -> int:
    """Number of binary convolutions in an artefact."""
    return sum(op.kind == LCE_CONV for op in artefact.operators)


def audit(
    artefact: Artefact, layers: Mapping[str, Sequence[str]], where: str | None = None, count: bool = True
) -> int:
    """Compare an artefact with the layers that should be binary in it.

    Args:
        artefact: what was emitted.
        layers: layer name → GraphDef nodes of its binary convolutions.
        where: what an error should name.
        count: whether there must be as many binary operators as the layers need.

    Returns:
        The number of binary operators.

    Raises:
        ConversionError: a layer stayed float, or there is an operator that no interpreter knows.
    """
    unknown = sorted({op.kind for op in artefact.operators if op.custom and op.kind not in LCE_OPERATORS})
    if unknown:
        raise ConversionError(
            f"LCE's converter left operators that its interpreter lacks: {', '.join(unknown)}",
            where=where,
            remedy="please report the model: this check should never fail",
        )
    found = binary_ops(artefact)
    wanted = sum(len(nodes) for nodes in layers.values())
    if count and found != wanted:
        floats = [op for op in artefact.operators if op.kind in WEIGHTED]
        names = [name for name, nodes in layers.items() if any(_fused_from(op, nodes) for op in floats)]
        told = f"; float in it: {', '.join(names)}" if names else ""
        raise ConversionError(
            f"the artefact has {found} binary operators where the graph's layers need {wanted}{told}",
            where=where,
            remedy="please report the model: a layer that stays float is right but slow",
        )
    return found


def _fused_from(op: Operator, nodes: Sequence[str]) -> bool:
    """Whether an operator was fused from one of some nodes; its name is cut off after 50 characters."""
    return any(part in nodes for name in op.names for part in name.split(";"))
