"""Cutting a model at inner values, so that every piece can be compared by itself.

End to end, one sign that flips at its threshold changes everything behind it. Cut at the values that another
stage (or an engine) also has, each piece computes from that stage's own numbers, and what differs differs there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from .reader.evaluate import session

Array = npt.NDArray[np.generic]
GIVEN = "__given"


def value_names(proto: onnx.ModelProto) -> set[str]:
    """Names of all values that a model's nodes compute."""
    return {name for node in proto.graph.node for name in node.output if name}


def cut(proto: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A model whose outputs are the named values, each computed from the other named values as given.

    For every name ``v`` there is a further input ``v__given`` that all consumers of ``v`` read, and an output
    ``v``. The model's own inputs stay.
    """
    wanted = list(dict.fromkeys(names))
    types = {value.name: value.type for value in [*proto.graph.value_info, *proto.graph.output]}
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    chosen = set(wanted)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name in chosen:
                node.input[index] = name + GIVEN
    del model.graph.output[:]
    for name in wanted:
        kind = types[name].tensor_type.elem_type if name in types else onnx.TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
        model.graph.input.append(helper.make_tensor_value_info(name + GIVEN, kind, None))
    del model.graph.value_info[:]
    return model


def with_outputs(proto: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """The same model with inner values as its only outputs."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    types = {value.name: value.type for value in [*proto.graph.value_info, *proto.graph.output]}
    del model.graph.output[:]
    for name in dict.fromkeys(names):
        kind = types[name].tensor_type.elem_type if name in types else onnx.TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return model


class Pieces:
    """A cut model ready to run.

    Args:
        names: values at which the model is cut.
        watched: values inside the pieces that are wanted as well.
    """

    def __init__(self, proto: onnx.ModelProto, names: Iterable[str], watched: Iterable[str] = ()) -> None:
        names = list(dict.fromkeys(names))
        self._wanted = list(dict.fromkeys([*names, *watched]))
        model = cut(proto, names)
        known = {value.name for value in model.graph.output}
        for name in self._wanted:
            if name not in known:
                model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        self._session = session(model)
        self._feeds = {value.name for value in self._session.get_inputs()}

    def __call__(self, inputs: Mapping[str, Array], given: Mapping[str, Array]) -> dict[str, Array]:
        """What each piece computes from the numbers given: one array per name, watched values too."""
        feeds = dict(inputs) | {name + GIVEN: array for name, array in given.items()}
        results = self._session.run(self._wanted, {k: v for k, v in feeds.items() if k in self._feeds})
        return dict(zip(self._wanted, results, strict=True))
