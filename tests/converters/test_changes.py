"""Changes of function that a user allowed stand in the graph, and the changed graph is the reference."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from bibench_deploy.converters.changes import apply_changes
from bibench_deploy.converters.deployability import Allowed, Change
from bibench_deploy.graph import BinaryGraph, Step, steps
from support.binary_graphs import binary_layer, make_graph
from support.onnx_models import execute

F = np.float32


def graph() -> BinaryGraph:
    rng = np.random.default_rng(0)
    first, constants = binary_layer(rng, "x", "a", (3, 2, 3, 3), pads=[1, 1, 1, 1])
    second, more = binary_layer(rng, "a", "y", (3, 3, 3, 3), pads=[1, 1, 1, 1])
    made = make_graph(first + second, {"x": (1, 2, 4, 4)}, constants=constants | more)
    for step in steps(made.model.graph):
        step.attributes["at_threshold"] = ir.AttrFloat32("at_threshold", 0.0)
    return made


def change(made: BinaryGraph, value: str, key: str) -> Change:
    (node,) = [node.name for node in made.model.graph if node.outputs[0].name == value]
    return Change(node or "", value, key, "because")  # type: ignore[arg-type]


def test_without_changes_the_graph_is_the_one_given() -> None:
    made = graph()
    assert apply_changes(made, (), Allowed(padding=1.0, sign_zero=1.0)) is made


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_padding_changes_at_the_layer_named_alone(value: float) -> None:
    made = graph()
    changed = apply_changes(made, [change(made, "y", "padding")], Allowed(padding=value))
    assert [layer.pad_value for layer in changed.binary_layers] == [0.0, value]
    assert [layer.pad_value for layer in made.binary_layers] == [0.0, 0.0]
    x = np.random.default_rng(1).standard_normal((1, 2, 4, 4)).astype(F)
    now = execute(changed.proto(), {"x": x})["y"]
    np.testing.assert_array_equal(now, execute(changed.source.proto, {"x": x})["y"])  # the new reference
    before = execute(made.proto(), {"x": x})["y"]
    np.testing.assert_array_equal(now[..., 1:-1, 1:-1], before[..., 1:-1, 1:-1])
    assert (now != before).any()


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_the_sign_of_zero_changes_at_the_step_named_alone(value: float) -> None:
    made = graph()
    changed = apply_changes(made, [change(made, "a_s", "sign-zero")], Allowed(sign_zero=value))
    assert [Step.of(node).at_threshold for node in steps(changed.model.graph)] == [value, 0.0]
    assert [Step.of(node).at_threshold for node in steps(made.model.graph)] == [0.0, 0.0]
    zeros = {"x": np.zeros((1, 2, 4, 4), F)}
    (s,) = execute(changed.proto(), zeros, ["a_s"]).values()
    assert (s == value).all()


def test_a_change_that_was_not_allowed_is_not_made() -> None:
    made = graph()
    both = [change(made, "y", "padding"), change(made, "a_s", "sign-zero")]
    changed = apply_changes(made, both, Allowed())
    assert [layer.pad_value for layer in changed.binary_layers] == [0.0, 0.0]
    assert [Step.of(node).at_threshold for node in steps(changed.model.graph)] == [0.0, 0.0]


def test_file_and_sha256_stay_those_of_the_model() -> None:
    made = graph()
    changed = apply_changes(made, [change(made, "y", "padding")], Allowed(padding=1.0))
    assert (changed.source.path, changed.source.sha256) == (made.source.path, made.source.sha256)
    assert changed.layers == made.layers
