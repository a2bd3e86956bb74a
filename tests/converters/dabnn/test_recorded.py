"""The model of the runtime against what the real one computed, layer by layer; see recorded.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bibench_deploy.converters.dabnn.dab import Kind
from bibench_deploy.converters.dabnn.semantics import Net

RECORDED = Path(__file__).with_name("recorded.npz")
#: A float convolution and an average sum in another order; all else is the same bit by bit, if its input is.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def recorded() -> dict[str, npt.NDArray[np.generic]]:
    with np.load(RECORDED) as loaded:
        return {name: loaded[name] for name in loaded.files}


def names() -> list[str]:
    with np.load(RECORDED) as loaded:
        return [name.removesuffix(".dab") for name in loaded.files if name.endswith(".dab")]


@pytest.mark.parametrize("name", names())
def test_layer_by_layer(name: str, recorded: dict[str, npt.NDArray[np.generic]]) -> None:
    """Each layer from the real runtime's own numbers."""
    net = Net(recorded[f"{name}.dab"].tobytes())
    real = recorded[f"{name}.y"].astype(np.float32)
    for layer, got in net.trace(recorded[f"{name}.x"].astype(np.float32)):
        wanted, real = real[: got.size].reshape(got.shape), real[got.size :]
        if layer.kind in (Kind.FP_CONV, Kind.AVE_POOL):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max(initial=1))
        else:
            assert np.array_equal(got, wanted), layer
        got[...] = wanted
    assert not len(real)


def test_all_kinds_are_there(recorded: dict[str, npt.NDArray[np.generic]]) -> None:
    kinds = {
        layer.kind
        for name in names()
        for layer, _ in Net(recorded[f"{name}.dab"].tobytes()).trace(recorded[f"{name}.x"].astype(np.float32))
    }
    assert kinds == set(Kind)
