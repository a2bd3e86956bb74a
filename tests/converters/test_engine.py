"""The seam to the engines: how tensors are seen on both sides, and who is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.engine import TensorView, engine_names, load_engine
from bibench_deploy.errors import InputError


@st.composite
def views(draw: st.DrawFn) -> TensorView:
    """Any layout, some axes reversed, and perhaps other axes than the model's (a flattened one)."""
    artefact = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    axes = range(len(artefact))
    perm = tuple(draw(st.permutations(axes))) if draw(st.booleans()) else ()
    shape = tuple(artefact[axis] for axis in perm) if perm else artefact
    flip = tuple(draw(st.lists(st.sampled_from(list(axes)), unique=True, max_size=2)))
    if draw(st.booleans()):
        shape = (shape[0], int(np.prod(shape[1:])))
    return TensorView("x", shape, artefact, perm, flip)


@given(views())
@settings(max_examples=200, deadline=None)
def test_there_and_back(view: TensorView) -> None:
    array = np.arange(np.prod(view.shape)).reshape(view.shape)
    inside = view.as_artefact(array)
    assert inside.shape == view.artefact_shape
    assert inside.flags.c_contiguous
    np.testing.assert_array_equal(view.as_model(inside), array)
    back = view.as_model(np.arange(np.prod(view.artefact_shape)))
    assert back.shape == view.shape
    np.testing.assert_array_equal(
        view.as_artefact(back), np.arange(np.prod(view.artefact_shape)).reshape(view.artefact_shape)
    )


def test_a_picture_channels_last() -> None:
    view = TensorView("x", (1, 3, 4, 5), (1, 4, 5, 3), perm=(0, 3, 1, 2))
    picture = np.arange(60).reshape(1, 3, 4, 5)
    np.testing.assert_array_equal(view.as_artefact(picture), picture.transpose(0, 2, 3, 1))


def test_a_rotated_picture() -> None:
    view = TensorView("x", (1, 3, 4, 5), (1, 4, 5, 3), perm=(0, 3, 1, 2), flip=(2, 3))
    picture = np.arange(60).reshape(1, 3, 4, 5)
    np.testing.assert_array_equal(view.as_artefact(picture), picture[:, :, ::-1, ::-1].transpose(0, 2, 3, 1))


def test_larq_is_registered() -> None:
    assert "larq" in engine_names()
    assert load_engine("larq").name == "larq"


def test_an_engine_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no engine 'bolt' can emit artefacts") as refusal:
        load_engine("bolt")
    assert "larq" in (refusal.value.remedy or "")
