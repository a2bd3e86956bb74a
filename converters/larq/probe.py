"""The artefact with inner tensors as further outputs, for layer-by-layer verification.

Nothing is repacked: a new vector of output indices is appended to the file, and the one offset that named the
old vector is redirected to it. Whatever else the probe executes is the artefact, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..engine import Probe
from .flatbuffer import Artefact
from .lowering import Lowering

#: Slot of ``outputs`` in the vtable of a TFLite SubGraph: third field, two bytes each behind four of header.
_OUTPUTS_SLOT = 4 + 2 * 2


def probe(data: bytes, artefact: Artefact, low: Lowering) -> Probe:
    """Every float tensor of an artefact that holds a value of the binary graph, as an output.

    Args:
        data: the artefact.
        artefact: parsed.
        low: the lowering that it came from.
    """
    outputs = list(artefact.outputs)
    points = dict(enumerate(low.outputs.values()))
    computed = {tensor for op in artefact.operators for tensor in op.outputs}
    known = {view.name for view in (*low.inputs.values(), *low.outputs.values())}
    for index, tensor in enumerate(artefact.tensors):
        point = low.points.get(tensor.node)
        if point is None or index not in computed or index in outputs or not tensor.is_float:
            continue
        if tensor.shape != low.builder.shapes[tensor.node]:
            continue  # a name that a fused operator of another shape took over
        if point.value in known:
            continue
        known.add(point.value)
        points[len(outputs)] = low.layout.view(point.held, point.value)
        outputs.append(index)
    return Probe(with_outputs(data, outputs), points)


def with_outputs(data: bytes, outputs: Sequence[int]) -> bytes:
    """A .tflite file whose main subgraph has other outputs."""
    import tflite

    table = tflite.Model.GetRootAs(data, 0).Subgraphs(0)._tab
    slot = table.Offset(_OUTPUTS_SLOT)
    field = table.Pos + slot
    grown = bytearray(data)
    grown.extend(b"\0" * (-len(grown) % 4))
    struct.pack_into("<I", grown, field, len(grown) - field)
    grown.extend(struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs))
    return bytes(grown)
