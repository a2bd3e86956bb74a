"""Executing Larq artefacts: names and layouts of the model, kernels, and what goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bibench_deploy.converters import larq
from bibench_deploy.converters.engine import Emitted, TensorView
from bibench_deploy.errors import DataError, EngineError
from bibench_deploy.graph import BinaryGraph
from bibench_deploy.runners import larq as runner
from bibench_deploy.runners.base import Session, as_artefact
from bibench_deploy.runners.larq import KERNELS, Kernel, LarqSession, fastest_kernel
from support.binary_graphs import binary_layer, expected, make_graph

pytestmark = pytest.mark.larq
SHAPE = (1, 64, 6, 5)


def network(group: int = 1) -> tuple[BinaryGraph, Emitted]:
    """One binary convolution."""
    text, constants = binary_layer(
        np.random.default_rng(0), "x", "y", (8, 64 // group, 3, 3), pads=(1,) * 4, group=group
    )
    graph = make_graph(text, {"x": SHAPE}, constants=constants)
    return graph, larq.emit(graph)


def picture() -> dict[str, npt.NDArray[np.generic]]:
    """One random picture, NCHW."""
    return {"x": np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)}


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_computes_what_the_model_computes_in_its_layout(kernel: Kernel) -> None:
    graph, emitted = network()
    session: Session = LarqSession(emitted.data, emitted.inputs, emitted.outputs, kernel=kernel)
    assert session.kernel == kernel
    found = session.run(picture())
    assert list(found) == ["y"]
    np.testing.assert_array_equal(found["y"], expected(graph, picture())[0])


def test_the_default_kernel_refuses_groups_and_another_is_chosen() -> None:
    graph, emitted = network(group=2)
    with pytest.raises(EngineError, match="refused the artefact"):
        LarqSession(emitted.data, emitted.inputs, emitted.outputs, kernel="default")
    session = LarqSession(emitted.data, emitted.inputs, emitted.outputs)
    assert session.kernel in ("indirect", "reference")
    assert set(session.choice.refused) == {"default"}
    np.testing.assert_array_equal(session.run(picture())["y"], expected(graph, picture())[0])


def test_the_fastest_kernel_is_chosen_by_its_fastest_run() -> None:
    _, emitted = network()
    times = iter(
        [0, 30, 0, 10, 0, 20, 0, 5, 0, 50, 0, 20, 0, 30, 0, 10, 0, 4]
    )  # in turns: each kernel thrice
    choice = fastest_kernel(emitted.data, emitted.inputs, clock=lambda: next(times) * 1_000_000)
    assert choice.kernel == "reference"
    assert choice.fastest_ms == {"indirect": 5.0, "default": 10.0, "reference": 4.0}


def test_a_kernel_that_computes_something_else_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, emitted = network()
    predicted = runner._predicted
    calls: list[Any] = []

    def wrong_second(interpreter: Any, arrays: Any) -> list[npt.NDArray[np.generic]]:
        if interpreter not in calls:
            calls.append(interpreter)
        results = predicted(interpreter, arrays)
        return [array + np.float32(1) for array in results] if calls.index(interpreter) == 1 else results

    monkeypatch.setattr(runner, "_predicted", wrong_second)
    choice = fastest_kernel(emitted.data, emitted.inputs)
    assert choice.refused == {"default": "its outputs are not those of the indirect kernel"}
    assert set(choice.fastest_ms) == {"indirect", "reference"}


def test_a_float_artefact_has_no_choice_of_kernels() -> None:
    graph = make_graph("y = Relu(x)", {"x": SHAPE})
    emitted = larq.emit(graph)
    session = LarqSession(emitted.data, emitted.inputs, emitted.outputs, threads=2)
    assert session.kernel is None
    np.testing.assert_array_equal(session.run(picture())["y"], np.maximum(picture()["x"], 0))


def test_a_prepared_call_executes_the_same() -> None:
    _, emitted = network()
    session = LarqSession(emitted.data, emitted.inputs, emitted.outputs, kernel="indirect")
    call = session.prepared(picture())
    (first,), (second,) = call(), call()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(emitted.outputs[0].as_model(first), session.run(picture())["y"])


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "takes x, not "),
        ({"x": np.zeros(SHAPE), "z": np.zeros(1)}, "takes x, not x, z"),
        ({"x": np.zeros((2, 64, 6, 5))}, "its shape is"),
        ({"x": np.zeros((1, 6, 5, 64))}, "its shape is"),
    ],
)
def test_inputs_that_do_not_fit_are_named(feeds: dict[str, npt.NDArray[np.generic]], words: str) -> None:
    view = TensorView("x", SHAPE, (1, 6, 5, 64), (0, 3, 1, 2))
    with pytest.raises(DataError, match=words) as caught:
        as_artefact(feeds, [view])
    assert caught.value.where is not None


def test_bytes_that_are_no_artefact_are_an_engine_error() -> None:
    with pytest.raises(EngineError, match="refused"):
        LarqSession(b"LceBconv2d" + b"\0" * 64, [TensorView("x", (1,), (1,))], [], kernel="indirect")
