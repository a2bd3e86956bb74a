"""Larq Compute Engine, as the entry point names it. Importing this imports neither LCE nor TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing this must stay cheap
    from bibench_deploy.graph import BinaryGraph

    from ..engine import Emitted

name = "larq"


def versions() -> dict[str, str]:
    """Versions of LCE and of what writes and reads its files.

    Raises:
        MissingExtraError: it is not installed, or in a version that this tool doesn't know.
    """
    from . import lce

    return lce.versions()


def emit(graph: BinaryGraph) -> Emitted:
    """Write a fused graph as a .tflite file with Larq's operators; see ``converters.engine.Engine.emit``.

    Raises:
        NotDeployableError: the graph holds something that Larq can't compute.
        ConversionError: LCE's converter failed, or a binary layer stayed float in its result.
        MissingExtraError: LCE is not installed.
    """
    from .emitter import emit as emit_graph

    return emit_graph(graph)
