"""Verdicts on whole models, and what a user allows; each room of rules has a table of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bibench_deploy.converters.deployability import Allowed, Reason, assess, parse_allow, verdict
from bibench_deploy.errors import InputError
from bibench_deploy.graph import Layer
from support.fused_graphs import conv, fused
from support.verdicts import ENGINES, LARQ, NATIVE, both


def reason(allow: str | None) -> Reason:
    return Reason("n", "l", "pad-value", "m", "r", allow)


@pytest.mark.parametrize(
    ("allows", "expected"),
    [
        ([], "deployable"),
        (["padding=-1"], "changes_function"),
        (["padding=-1", "sign-zero=+1"], "changes_function"),
        ([None], "not_deployable"),
        (["padding=-1", None], "not_deployable"),
    ],
)
def test_one_reason_without_a_way_out_decides(allows: list[str | None], expected: str) -> None:
    assert verdict(map(reason, allows)) == expected


def test_a_planned_engine_is_never_deployable() -> None:
    judged = assess(conv(), NATIVE.model_copy(update={"status": "planned"}))
    assert (judged.verdict, judged.reasons) == ("planned", ())


def test_a_model_without_binary_layers_is_refused_by_every_engine() -> None:
    graph = fused("m (float[1, 4, 4, 4] x) => (float[1, 4, 4, 4] y) { y = Relu (x) }")
    assert both(graph) == {"larq": ["no-binary-layer"], "dabnn": ["no-binary-layer"]}


def test_layers_that_only_look_binary_are_noted() -> None:
    suspicious = Layer(
        "conv2",
        ("Conv_9",),
        "float",
        "conv2d",
        (8, 8, 3, 3),
        576,
        0,
        why_not_binary="3 magnitudes",
        looks_binary=True,
    )
    ordinary = replace(suspicious, name="conv3", looks_binary=False)
    judged = assess(replace(conv(), layers=(suspicious, ordinary)), LARQ)
    (note,) = [note for note in judged.notes if note.code == "looks-binary"]
    assert (note.layer, note.node, "3 magnitudes" in note.message) == ("conv2", "Conv_9", True)


def test_every_reason_names_its_node_its_layer_and_a_way_out() -> None:
    graph = conv(scale="input", group=64, mean_shift=1, pads=(0, 0, 1, 1), dilation=2, size=(9, 8))
    for capabilities in ENGINES.values():
        reasons = assess(graph, capabilities).reasons
        assert reasons
        assert all(each.node and each.layer == "conv1" and each.message and each.remedy for each in reasons)


def test_two_inputs() -> None:
    graph = fused("m (float[1, 4, 4, 4] x, float[1, 4, 4, 4] z) => (float[1, 4, 4, 4] y) { y = Add (x, z) }")
    assert "inputs" in both(graph)["dabnn"]
    assert "inputs" not in both(graph)["larq"]


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ([], Allowed()),
        (["padding=-1"], Allowed(padding=-1.0)),
        (["padding=−1"], Allowed(padding=-1.0)),
        (["padding=0", "sign-zero=+1"], Allowed(padding=0.0, sign_zero=1.0)),
    ],
)
def test_allow(options: list[str], allowed: Allowed) -> None:
    assert parse_allow(options) == allowed


@pytest.mark.parametrize(
    "options",
    [
        ["pading=-1"],
        ["padding"],
        ["padding=2"],
        ["padding=nan"],
        ["sign-zero=0"],
        ["padding=1", "padding=0"],
    ],
)
def test_allow_refuses(options: list[str]) -> None:
    with pytest.raises(InputError, match="--allow"):
        parse_allow(options)


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        parse_allow(["scale=none"])
    assert error.value.remedy is not None
    assert "padding=" in error.value.remedy
    assert "sign-zero=" in error.value.remedy
