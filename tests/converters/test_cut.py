"""A model cut at inner values computes every piece from the numbers that it is given."""

from __future__ import annotations

import numpy as np
import pytest

from bibench_deploy.converters.cut import GIVEN, Pieces, cut, value_names, with_outputs
from support.onnx_models import execute, make_model

F = np.float32
X = np.array([[1.0, -2.0, 3.0]], F)
#: y = 2·(|x| + 1) and an output behind it.
MODEL = make_model(
    "a = Abs (x) b = Add (a, one) c = Mul (b, two) d = GreaterOrEqual (c, two) y = Where (d, c, b)",
    {"one": F(1), "two": F(2)},
    inputs="float[1, 3] x",
)


def test_names_of_what_is_computed() -> None:
    assert value_names(MODEL) == {"a", "b", "c", "d", "y"}


def test_from_its_own_numbers_a_cut_model_is_the_model() -> None:
    names = ["a", "c", "y"]
    truth = execute(MODEL, {"x": X}, names)
    found = Pieces(MODEL, names)({"x": X}, truth)
    for name in names:
        np.testing.assert_array_equal(found[name], truth[name])


def test_a_piece_computes_from_what_it_is_given_and_nothing_before_it() -> None:
    given = {"a": np.full((1, 3), 10, F), "c": np.full((1, 3), 100, F), "y": X}
    found = Pieces(MODEL, ["a", "c", "y"])({"x": X}, given)
    np.testing.assert_array_equal(found["a"], np.abs(X))  # from the input
    np.testing.assert_array_equal(found["c"], [[22, 22, 22]])  # from a as given
    np.testing.assert_array_equal(found["y"], [[100, 100, 100]])  # from c as given


def test_an_output_may_be_read_by_others() -> None:
    model = make_model("y = Abs (x) z = Neg (y)", inputs="float[1, 3] x", outputs=["y", "z"])
    found = Pieces(model, ["y", "z"])({"x": X}, {"y": np.full((1, 3), 5, F), "z": X})
    np.testing.assert_array_equal(found["y"], np.abs(X))
    np.testing.assert_array_equal(found["z"], [[-5, -5, -5]])


def test_values_inside_a_piece_can_be_watched() -> None:
    found = Pieces(MODEL, ["a", "c"], ["b"])({"x": X}, {"a": np.full((1, 3), 10, F)} | {"c": X})
    np.testing.assert_array_equal(found["b"], [[11, 11, 11]])


def test_the_model_given_is_left_alone() -> None:
    before = MODEL.SerializeToString(deterministic=True)
    model = cut(MODEL, ["a", "a", "c"])
    assert MODEL.SerializeToString(deterministic=True) == before
    assert [value.name for value in model.graph.output] == ["a", "c"]
    assert [value.name for value in model.graph.input] == ["x", f"a{GIVEN}", f"c{GIVEN}"]


@pytest.mark.parametrize("names", [["a"], ["c", "a"], ["a", "a"]])
def test_inner_values_as_outputs(names: list[str]) -> None:
    found = execute(with_outputs(MODEL, names), {"x": X})
    assert list(found) == list(dict.fromkeys(names))
    np.testing.assert_array_equal(found["a"], np.abs(X))
