"""JD daBNN, as the entry point names it: capabilities, emitter, a model of the runtime's semantics."""

from __future__ import annotations

from bibench_deploy.graph import BinaryGraph

from ..engine import Emitted

name = "dabnn"


def versions() -> dict[str, str]:
    """Version of the file format; no library is needed to write it."""
    from .dab import VERSION

    return {"dab": str(VERSION)}


def emit(graph: BinaryGraph) -> Emitted:
    """Write a fused graph as a .dab file; see ``converters.engine.Engine.emit``.

    Raises:
        NotDeployableError: the graph holds something that the engine can't compute.
        ConversionError: the file holds another number of binary layers than the graph.
    """
    from .emitter import emit as emit_graph

    return emit_graph(graph)
