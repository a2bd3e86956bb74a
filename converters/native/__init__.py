"""The native engine, as the entry point names it."""

from __future__ import annotations

from bibench_deploy.graph import BinaryGraph

from ..engine import Emitted

name = "native"


def versions() -> dict[str, str]:
    """Version of the file format; the engine itself travels with this package."""
    from .bbm import VERSION

    return {"bbm": str(VERSION)}


def emit(graph: BinaryGraph) -> Emitted:
    """Write a fused graph as a .bbm file; see ``converters.engine.Engine.emit``.

    Raises:
        NotDeployableError: the graph holds something that the engine can't compute.
        ConversionError: the file holds another number of binary layers than the graph.
    """
    from .emitter import emit as emit_graph

    return emit_graph(graph)
