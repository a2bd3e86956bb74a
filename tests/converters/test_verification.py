"""Verification finds every artefact that computes something else, says where, and raises no false alarm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from bibench_deploy.converters import larq
from bibench_deploy.converters.engine import Emitted
from bibench_deploy.converters.pieces import engine_pieces, graph_pieces
from bibench_deploy.converters.ties import Ties, hidden_steps
from bibench_deploy.converters.verification import Reference, Verification, end_to_end, verify
from bibench_deploy.graph import BinaryGraph, steps
from bibench_deploy.runners.session import opener
from support.binary_graphs import binary_layer, make_graph
from support.extras import needs

needs("larq_compute_engine", "larq")

pytestmark = pytest.mark.larq

F = np.float32
Constants = dict[str, npt.NDArray[Any]]
CHANNELS, SIZE, CLASSES = 32, 8, 10
ROWS = [{"x": row} for row in np.random.default_rng(1).standard_normal((8, 1, 3, SIZE, SIZE)).astype(F)]


def net(changes: Mapping[str, Any] | None = None, *, residual: bool = True, **layer: Any) -> BinaryGraph:
    """A float convolution, two binary ones, a classifier; constants and arguments of layer 1 changed.

    Without the residual connection layer 1 is binarized directly, so that an engine may go on in bits.
    """
    rng = np.random.default_rng(0)
    weight = (CHANNELS, CHANNELS, 3, 3)
    affine: Constants = {
        "multiplier": rng.uniform(0.02, 0.1, (CHANNELS, 1, 1)) * rng.choice([-1, 1], (CHANNELS, 1, 1)),
        "bias": rng.uniform(-1, 1, (CHANNELS, 1, 1)),
    }
    thresholds = rng.uniform(-0.5, 0.5, (2, CHANNELS, 1, 1))
    first, constants = binary_layer(
        rng, "stem", "one", weight, **({"pads": [1, 1, 1, 1], "threshold": thresholds[0]} | affine | layer)
    )
    between = "joined = Add (one, stem)" if residual else "joined = Identity (one)"
    source = "joined" if residual else "one"
    second, more = binary_layer(
        rng, source, "two", weight, pads=[1, 1, 1, 1], threshold=thresholds[1], **affine
    )
    constants |= more
    constants["k"] = rng.standard_normal((CHANNELS, 3, 3, 3)).astype(F)
    constants["fc"] = (rng.standard_normal((CLASSES, CHANNELS)) / 6).astype(F)
    constants["fcb"] = rng.standard_normal(CLASSES).astype(F)
    for name, array in (changes or {}).items():
        assert name in constants
        constants[name] = array(constants[name].copy()) if callable(array) else array
    body = (
        "stem = Conv <pads = [1, 1, 1, 1]> (x, k)\n"
        + first
        + (between + "\n" if residual else "")
        + second
        + "pooled = GlobalAveragePool (two)\nflat = Flatten (pooled)\ny = Gemm <transB = 1> (flat, fc, fcb)\n"
    )
    return make_graph(body, {"x": (1, 3, SIZE, SIZE)}, constants=constants)


def checked(graph: BinaryGraph, artefact: BinaryGraph | Emitted) -> Verification:
    """The verification of a graph's artefact, or of another graph's in its place."""
    emitted = artefact if isinstance(artefact, Emitted) else larq.emit(artefact)
    return verify(Reference(graph, ROWS), emitted, opener("larq"))


def at(index: tuple[int, ...], value: Any) -> Any:
    """A change of one number: to a value, or by a function."""

    def change(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        array[index] = value(array[index]) if callable(value) else value
        return array

    return change


def swapped(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Two channels change places."""
    array[[3, 4]] = array[[4, 3]]
    return array


@pytest.fixture(scope="module")
def original() -> BinaryGraph:
    return net()


@pytest.fixture(scope="module")
def original_artefact(original: BinaryGraph) -> Emitted:
    return larq.emit(original)


def test_the_artefact_itself_is_verified(original: BinaryGraph, original_artefact: Emitted) -> None:
    found = checked(original, original_artefact)
    assert found.ok, found.problem
    assert (found.covered, found.binary_layers) == (2, 2)
    assert found.random.rows == len(ROWS)
    assert found.random.within == 1
    assert found.random.differing_classes == 0
    assert max(piece.relative for piece in (*found.graph, *found.layers)) < 1e-5


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        pytest.param({"one_w": at((0, 0, 0, 0), lambda w: -w)}, "one", id="one sign of layer one"),
        pytest.param({"two_w": at((31, 31, 2, 2), lambda w: -w)}, "two", id="one sign of layer two"),
        pytest.param({"one_w": swapped}, "one", id="two kernels swapped"),
        pytest.param({"one_w": lambda w: w.transpose(0, 1, 3, 2)}, "one", id="kernels transposed"),
        pytest.param({"one_w": lambda w: w[:, :, ::-1, ::-1]}, "one", id="kernels rotated"),
        pytest.param({"one_t": at((5, 0, 0), lambda t: t + 0.2)}, "one", id="one threshold moved"),
        pytest.param({"two_t": at((5, 0, 0), lambda t: t - 0.2)}, "two", id="the second step's threshold"),
        pytest.param({"two_d": np.asarray(-1, F)}, "two", id="a step turned round"),
        pytest.param({"one_m": at((7, 0, 0), lambda m: 1.01 * m)}, "one", id="a multiplier wrong by 1 %"),
        pytest.param({"one_m": swapped}, "one", id="two multipliers swapped"),
        pytest.param({"one_b": at((7, 0, 0), lambda b: 1.01 * b)}, "one", id="a bias wrong by 1 %"),
        pytest.param({"two_b": lambda b: 1.01 * b}, "two", id="all biases wrong by 1 %"),
        pytest.param({"k": lambda k: 1.01 * k}, "one", id="float weights wrong by 1 %"),
        pytest.param({"k": lambda k: k.transpose(0, 1, 3, 2)}, "one", id="float kernels transposed"),
        pytest.param({"fcb": at((9,), lambda b: b + 0.01)}, "y", id="the classifier's bias"),
    ],
)  # fmt: skip
def test_a_wrong_constant_is_found_where_it_is(
    original: BinaryGraph, changes: Mapping[str, Any], first: str
) -> None:
    found = checked(original, net(changes))
    assert found.problem is not None
    assert f"the first is {first}: " in found.problem


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param({"pad_value": 1.0}, id="padding +1"),
        pytest.param({"pad_value": -1.0}, id="padding −1"),
        pytest.param({"pads": [0, 0, 2, 2]}, id="padding on the other side"),
    ],
)
def test_a_wrong_geometry_is_found(original: BinaryGraph, layer: dict[str, Any]) -> None:
    found = checked(original, net(**layer))
    assert found.problem is not None
    assert "the first is one: " in found.problem


def test_an_input_whose_height_and_width_are_swapped_is_found(
    original: BinaryGraph, original_artefact: Emitted
) -> None:
    (view,) = original_artefact.inputs
    assert view.perm == (0, 3, 1, 2)
    found = checked(original, replace(original_artefact, inputs=(replace(view, perm=(0, 3, 2, 1)),)))
    assert found.problem is not None
    assert "the first is one: " in found.problem


def test_an_artefact_that_is_not_the_probed_one_is_found_end_to_end(
    original: BinaryGraph, original_artefact: Emitted
) -> None:
    """Piece by piece the probe is right; what would be shipped is something else."""
    other = larq.emit(net({"fc": lambda w: -w}))
    found = checked(original, replace(original_artefact, data=other.data))
    assert found.problem is not None
    assert found.problem.startswith("end to end on random inputs half of the 8 rows differ")


def test_a_fused_graph_that_is_not_the_source_is_found(original: BinaryGraph) -> None:
    """The artefact is the graph's, exactly; the graph is not the model's."""
    for changes, first in (
        ({"one_w": at((0, 0, 0, 0), lambda w: -w)}, "one"),
        ({"two_b": at((7, 0, 0), lambda b: 1.01 * b)}, "two"),
        ({"fcb": at((9,), lambda b: b + 0.01)}, "y"),
    ):
        wrong = replace(net(changes), source=original.source)
        found = checked(wrong, wrong)
        assert found.problem is not None
        assert "the fused graph computes something else in 1 of " in found.problem
        assert f"the first is {first}: " in found.problem


@pytest.mark.parametrize("shrink", [1e-2, 1e-3])
def test_a_channel_of_small_numbers_is_compared_by_itself(shrink: float) -> None:
    """A batch-norm's tiny factor: beside other channels nobody sees it; the next sign makes it ±1 again."""
    small = {
        "one_m": at((4, 0, 0), lambda m: shrink * m),
        "one_b": at((4, 0, 0), 0),
        "two_t": at((4, 0, 0), 0),
    }
    graph = net(small, residual=False)
    assert checked(graph, graph).ok
    wrong = net(small | {"one_w": at((4, 0, 0, 0), lambda w: -w)}, residual=False)
    pieces = graph_pieces(replace(wrong, source=graph.source), ROWS[:4])
    assert [piece.value for piece in pieces if not piece.ok] == ["one"]


# Steps that can't be seen: from layer one to layer two the engine stays in bits.


def hidden(threshold: npt.NDArray[np.float32] | None = None, **changes: Any) -> BinaryGraph:
    moved = {} if threshold is None else {"two_t": threshold}
    return net(moved | changes, residual=False)


def test_the_step_between_the_layers_is_hidden() -> None:
    graph = hidden()
    probe = larq.emit(graph).probe
    assert probe is not None
    assert "one" not in {view.name for view in probe.points.values()}
    found = hidden_steps(graph, {view.name for view in probe.points.values()})
    assert {step.outputs[0].name for step in found["two"]} == {"one_s", "two_s"}
    assert found["y"] == []


def tie() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Thresholds of the second step: one is met by a dot product of 10 in channel 6, or one float higher."""
    graph = net(residual=False)
    first = graph.binary_layers[0]
    thresholds = np.random.default_rng(8).uniform(-0.5, 0.5, (CHANNELS, 1, 1)).astype(F)
    thresholds[6] = first.multiplier[6] * F(10) + first.bias[6]
    above = thresholds.copy()
    above[6] = np.nextafter(above[6], F(np.inf))
    return thresholds, above


def test_a_sign_at_its_threshold_may_fall_either_way() -> None:
    """The artefact's threshold is one float higher: a tie, as rounding in another order would settle it."""
    thresholds, above = tie()
    graph, other = hidden(thresholds), larq.emit(hidden(above))
    found = checked(graph, other)
    (piece,) = [piece for piece in found.layers if piece.value == "two"]
    assert piece.outside > 0  # there are such ties, and they fall the other way
    assert found.ok, found.problem


@pytest.mark.parametrize("moved", [0.2, -0.2])
def test_a_threshold_that_is_moved_further_is_found_in_spite_of_ties(moved: float) -> None:
    thresholds, _ = tie()
    wrong = thresholds.copy()
    wrong[11] += moved
    found = checked(hidden(thresholds), larq.emit(hidden(wrong)))
    assert found.problem is not None
    assert "the first is two: " in found.problem


def test_a_wrong_sign_before_a_hidden_step_is_found_at_the_next_layer() -> None:
    found = checked(hidden(), larq.emit(hidden(one_w=swapped)))
    assert found.problem is not None
    assert "the first is two: " in found.problem


@pytest.mark.parametrize(
    ("values", "lower", "higher"),
    [
        pytest.param([0.5, 0.2, -0.4], 0, 0, id="none near"),
        pytest.param([0.1, 0.2, -0.4], 0, 1, id="one at the threshold"),
        pytest.param([0.1 + 3e-6, 0.2, -0.4], 0, 1, id="one just above"),
        pytest.param([0.1 - 3e-6, 0.1 + 3e-6, 0.1, -0.4], 1, 2, id="three"),
        pytest.param([0.1 + 2e-5, 0.2, -0.4], 0, 0, id="beyond the bound, 1e-5 of the largest"),
        pytest.param([0.1 + 2e-5, 0.2, -4.0], 0, 1, id="within it, beside a larger one"),
    ],
)
def test_which_values_a_tie_may_turn(values: list[float], lower: int, higher: int) -> None:
    """How many of them change sides when the threshold is moved down, and up."""
    graph = net({"two_t": np.asarray(0.1, F)}, residual=False)
    ties = Ties(graph, [step for step in steps(graph.model.graph) if step.outputs[0].name == "two_s"])
    assert ties.watched == ["one"]
    x = (np.array(values) + (F(0.1) - 0.1)).astype(F)
    assert ties.thresholds() == {"two_s__threshold": F(0.1)}
    before = x >= F(0.1)
    moved = ties.moved({"one": x})
    assert bool(moved) == (lower + higher > 0)
    turned = [int(((x >= feeds["two_s__threshold"]) != before).sum()) for feeds in moved]
    assert turned in ([lower, higher], [])


def test_no_tie_explains_what_it_does_not_reach() -> None:
    """A tie of the hidden steps explains outputs that read it; a flipped sign elsewhere is found."""
    thresholds, _ = tie()
    wrong = hidden(thresholds, two_w=at((20, 5, 1, 1), lambda w: -w))
    found = checked(hidden(thresholds), larq.emit(wrong))
    assert found.problem is not None
    assert "the first is two: " in found.problem


def test_without_a_probe_the_end_must_agree_closely(
    original: BinaryGraph, original_artefact: Emitted
) -> None:
    assert engine_pieces(original, replace(original_artefact, probe=None), opener("larq"), ROWS) == []
    assert checked(original, replace(original_artefact, probe=None)).ok
    wrong = replace(larq.emit(net({"fcb": lambda b: 1.02 * b})), probe=None)
    problem = checked(original, wrong).problem
    assert problem is not None
    assert problem.startswith("end to end")


def test_every_output_counts() -> None:
    """Not only the first one."""
    rng = np.random.default_rng(0)
    layer, constants = binary_layer(rng, "x", "b", (32, 32, 3, 3), pads=[1, 1, 1, 1])

    def two(factor: float) -> BinaryGraph:
        return make_graph(
            layer + "y = Relu (b)\nz = Mul (b, c)",
            {"x": (1, 32, 4, 4)},
            ["y", "z"],
            constants | {"c": np.asarray(factor, F)},
        )

    rows = [{"x": row} for row in rng.standard_normal((4, 1, 32, 4, 4)).astype(F)]
    right, wrong = larq.emit(two(0.5)), larq.emit(two(0.9))
    assert verify(Reference(two(0.5), rows), right, opener("larq")).ok
    for emitted in (replace(right, data=wrong.data), replace(wrong, probe=None)):
        assert verify(Reference(two(0.5), rows), emitted, opener("larq")).problem is not None


# torch.sign


def ternary_at_zero() -> tuple[BinaryGraph, BinaryGraph]:
    """A step on the bare sums of a layer, which are often 0: as bits have it, and as torch.sign has it."""
    changes: dict[str, Any] = {
        "one_m": np.ones((CHANNELS, 1, 1), F),
        "one_b": np.zeros((CHANNELS, 1, 1), F),
        "two_t": np.asarray(0, F),
    }
    graph, trained = net(changes, residual=False), net(changes, residual=False)
    (step,) = [node for node in trained.model.graph if node.outputs[0].name == "two_s"]
    step.attributes["at_threshold"] = ir.AttrFloat32("at_threshold", 0.0)
    return graph, replace(trained, source=replace(trained.source, proto=trained.proto()))


def test_a_sign_of_zero_that_the_data_meets_is_found() -> None:
    bits, trained = ternary_at_zero()
    assert checked(bits, bits).ok
    found = verify(Reference(trained, ROWS), larq.emit(bits), opener("larq"))
    assert found.problem is not None, "the engine gives +1 where torch.sign gives 0"


# Final outputs


@pytest.mark.parametrize(
    ("got", "within", "differing", "median"),
    [
        pytest.param([[1, 2], [3, 4]], 1.0, 0, 0.0, id="equal"),
        pytest.param([[1, 2.001], [3, 4]], 1.0, 0, 0.00025, id="within 1e-3 of the row's largest"),
        pytest.param([[1, 2.01], [3, 4]], 0.5, 0, 0.0025, id="one row outside"),
        pytest.param([[2, 1], [3, 4]], 0.5, 1, 0.25, id="another class"),
        pytest.param([[np.nan, 2], [3, np.inf]], 0.0, 1, 1e30, id="not a number"),
    ],
)
def test_end_to_end(got: list[list[float]], within: float, differing: int, median: float) -> None:
    found = end_to_end(np.array([[1, 2], [3, 4.0]]), np.array(got))
    assert (found.rows, found.within, found.differing_classes) == (2, within, differing)
    assert found.median == pytest.approx(median, abs=1e-9)


@pytest.mark.parametrize(
    ("expected", "got", "tied"),
    [
        pytest.param([[5, 5.0]], [[5, 5.000001]], 1, id="two classes are equal, and rounding decides"),
        pytest.param([[5, 4.9999]], [[5, 5.0001]], 0, id="one is larger, and the engine says the other"),
        pytest.param([[5, 5.0]], [[5, 5.0]], 0, id="equal in both: the first is taken, as in the model"),
    ],
)
def test_predictions_that_differ_at_a_tie(
    expected: list[list[float]], got: list[list[float]], tied: int
) -> None:
    assert end_to_end(np.array(expected), np.array(got)).tied_classes == tied


def test_accuracy_of_both_sides() -> None:
    found = end_to_end(np.array([[1, 2], [4, 3.0]]), np.array([[2, 1], [4, 3.0]]), np.array([1, 0]))
    assert found.accuracy == (1.0, 0.5)


def test_a_single_number_predicts_no_class() -> None:
    found = end_to_end(np.array([[1.0], [2]]), np.array([[1.0], [2]]), np.array([0, 0]))
    assert found.differing_classes is None
    assert found.accuracy is None
