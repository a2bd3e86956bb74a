"""The same file with inner values restored in blobs of their own, for layer-by-layer verification.

The layers of the artefact stay as they are, in their order. Where a value is in a blob, a copy is made of it
(MaxPool 1×1) and brought back to the graph's numbers by layers of the library itself. Only what comes back bit
by bit is shown: a value that is held up to its sign, and a binary layer's sum by the two roundings of the
graph. A value shifted to a threshold would come back rounded, and could then lie on the other side of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import is_binarize

from ..engine import Probe, TensorView
from ..nodes import name_of, users
from .dab import Layer, Model, Shape, write
from .holding import Blob, Held
from .lowering import Lowering, is_read_by_steps_alone

#: In front of every name of the artefact but its input and outputs: the values' own names are the points'.
_PREFIX = "artefact/"


def probe(
    low: Lowering, outputs: tuple[TensorView, ...], view: Callable[[ir.Value, Shape], TensorView]
) -> Probe:
    """The probe of a lowered graph."""
    public = {low.model.input, *(output.name for output in outputs)}

    def renamed(name: str) -> str:
        return name if name in public else _PREFIX + name

    model = Model(low.model.input, low.model.shape)
    model.tensors = {
        renamed(name): replace(tensor, name=renamed(name)) for name, tensor in low.model.tensors.items()
    }
    restoring = Lowering(low.graph, model, sizes=low.sizes)
    for name in (*public, *model.tensors, *(renamed(layer.output) for layer in low.model.layers)):
        restoring.reserve(name)
    points = dict(enumerate(outputs))
    wanted: dict[int, list[tuple[ir.Value, Held, str]]] = {}
    known = set(public)
    for count, value, held, blob in low.shown:
        if name_of(value) not in known and _is_exact(value, held):
            known.add(name_of(value))
            wanted.setdefault(count, []).append((value, held, renamed(blob)))
    for count in range(len(low.model.layers) + 1):
        for value, held, blob in wanted.get(count, ()):
            shape = _restore(restoring, value, held, blob)
            points[len(points)] = view(value, shape)
        if count < len(low.model.layers):
            model.layers.append(_with_names(low.model.layers[count], renamed))
    return Probe(write(model), points)


def _with_names(layer: Layer, renamed: Callable[[str], str]) -> Layer:
    return replace(
        layer,
        inputs=tuple(map(renamed, layer.inputs)),
        output=renamed(layer.output),
        tensors=tuple(map(renamed, layer.tensors)),
    )


def _is_exact(value: ir.Value, held: Held) -> bool:
    if held.dot is not None:
        # Read by a step and by something else, it is rounded once where the graph rounds twice.
        return is_read_by_steps_alone(value) or not any(is_binarize(user) for user in users(value))
    return held.is_settled and bool((np.abs(held.scale) == 1).all()) and not held.shift.any()


def _restore(low: Lowering, value: ir.Value, held: Held, name: str) -> Shape:
    """Layers that give a value from a blob; the last one bears the value's name."""
    blob = Blob(name, held.blob.shape, own=False)
    low.set(value, replace(held, blob=blob, dot=None))
    low.copied(value)
    if held.dot is not None:
        # The sum as an integer, its product, its bias: as the graph rounds.
        multiplier, bias = held.dot.multiplier.astype(np.float64), held.dot.bias.astype(np.float64)
        low.rehold(value, 1.0, 0.0)
        current = low.held[value]
        low.set(value, current.mapped(multiplier, np.zeros(held.channels)))
        low.transform(value, multiplier, np.zeros(held.channels), None, _plain(current))
        none, unit = np.zeros(held.channels), np.ones(held.channels)
        if bias.ndim == 3:
            low.transform(value, unit, none, bias, _plain(current))
        else:
            low.transform(value, unit, bias, None, _plain(current))
    else:
        low.rehold(value, 1.0, 0.0)
    result = low.held[value].blob
    low.rename(result, name_of(value))
    return result.shape


def _plain(held: Held) -> Held:
    return Held(held.blob, np.ones(held.channels), np.zeros(held.channels))
