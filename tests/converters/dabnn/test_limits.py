"""What the runtime would throw on, crash on or silently compute wrong: refused before it can be executed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bibench_deploy.converters.dabnn.dab import Kind, Layer, Model, Tensor, write
from bibench_deploy.converters.dabnn.limits import ViolationError, shapes
from bibench_deploy.converters.dabnn.packing import pack
from bibench_deploy.converters.dabnn.semantics import Net
from bibench_deploy.errors import ArtefactError

F = np.float32


def floats(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, np.ones(shape, F))


def filters(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, pack(np.ones(shape)))


def model(shape: tuple[int, int, int], *layers: Layer, **tensors: Tensor) -> Model:
    return Model("x", shape, list(layers), {name: replace(t, name=name) for name, t in tensors.items()})


def binary(shape: tuple[int, int, int], outputs: int, kernel: int = 3, **options: int) -> Model:
    layer = Layer(Kind.BIN_CONV, ("x",), "y", ("w",), **options)
    return model(shape, layer, w=filters("w", outputs, kernel, kernel, shape[2]))


def conv(shape: tuple[int, int, int], weight: tuple[int, ...], **options: int) -> Model:
    return model(shape, Layer(Kind.FP_CONV, ("x",), "y", ("w",), **options), w=floats("w", *weight))


def pool(kind: Kind, shape: tuple[int, int, int], kernel: int, **options: int) -> Model:
    return model(shape, Layer(kind, ("x",), "y", kernel=kernel, **options))


def copied(shape: tuple[int, int, int], *layers: Layer, **tensors: Tensor) -> Model:
    """The picture in memory of the network's own, then more."""
    weight = floats("copy", shape[2], 1, 1, shape[2])
    return model(shape, Layer(Kind.FP_CONV, ("x",), "a", ("copy",)), *layers, copy=weight, **tensors)


AFFINE = Layer(Kind.AFFINE, ("a",), "y", ("k", "k"))
WRONG = [
    ("64 channels on an odd map", binary((7, 7, 64), 64, pad=1), "even width"),
    ("64 channels to 49 outputs", binary((14, 14, 64), 64, pad=1, stride=2), "even number of outputs"),
    ("64 channels to an odd number of channels", binary((8, 8, 64), 63, pad=1), "multiples of 2"),
    ("128 to 64", binary((8, 8, 128), 64, pad=1), "multiples of 128 channels, not 64"),
    ("64 channels on a large map", binary((336, 336, 64), 2, pad=1), "111111 outputs"),
    ("the matrix product's buffer", binary((112, 112, 96), 4, pad=1), "overflows a buffer of 128000 words"),
    ("long sums", binary((7, 7, 1250), 4, 7), "61250 products"),
    ("a map that is not square", binary((8, 6, 32), 4), "8×6, not a square"),
    ("1×1 at stride 2 on such a map", binary((8, 6, 32), 4, 1, stride=2), "8×6, not a square"),
    ("a kernel that is not square", conv((8, 8, 3), (4, 3, 1, 3)), "3×1, not a square"),
    ("a kernel larger than its map", conv((2, 2, 3), (4, 3, 3, 3)), "larger than its map"),
    ("filters for other channels", conv((8, 8, 4), (4, 3, 3, 3)), "for 3 channels, its input has 4"),
    ("groups", model(
        (8, 8, 32), Layer(Kind.BIN_CONV, ("x",), "y", ("w",)), w=filters("w", 4, 3, 3, 16)), "for 16 channels"),
    ("filters that are a vector", model(
        (8, 8, 4), Layer(Kind.FP_CONV, ("x",), "y", ("w",)), w=floats("w", 4)), "filters have 1 axes"),
    ("float filters in a binary layer", model(
        (8, 8, 4), Layer(Kind.BIN_CONV, ("x",), "y", ("w",)), w=floats("w", 4, 3, 3, 4)), "wrong type"),
    ("a 2×2 maximum of 6 channels", pool(Kind.MAX_POOL, (8, 8, 6), 2, stride=2), "6 channels four at a time"),
    ("an average of rows of 18", pool(Kind.AVE_POOL, (6, 6, 3), 3, stride=3), "rows of 18 numbers"),
    ("a global average of 10 channels", pool(Kind.AVE_POOL, (8, 8, 10), 8), "rows of 10 numbers"),
    ("an Affine of 10 numbers", copied((1, 1, 10), AFFINE, k=floats("k", 10)), "rows of 10 numbers"),
    ("an Affine with 4 factors for 8 channels", copied((4, 4, 8), AFFINE, k=floats("k", 4)), "each of 8 channels"),
    ("a ReLU of 27 numbers", copied((3, 3, 3), Layer(Kind.RELU, ("a",), "y")), "the last 3 of its numbers"),
    ("two slopes for 4 channels", copied(
        (4, 4, 4), Layer(Kind.PRELU, ("a",), "y", ("k",)), k=floats("k", 2)), "each of 4 channels"),
    ("a sum of two shapes", copied(
        (4, 4, 4), Layer(Kind.MAX_POOL, ("a",), "b", kernel=2, stride=2), Layer(Kind.ADD, ("a", "b"), "y")),
     "it adds"),
    ("three maps joined", copied((4, 4, 4), Layer(Kind.CONCAT, ("a", "a", "a"), "y")), "only two equal shapes"),
    ("the caller's picture written over", model((4, 4, 4), Layer(Kind.RELU, ("x",), "y")), "overwrite 'x'"),
    ("a constant written over", copied(
        (4, 4, 4), Layer(Kind.ADD, ("k", "a"), "y"), k=floats("k", 1, 4, 4, 4)), "overwrite 'k'"),
    ("an alias of the picture written over", model(
        (4, 4, 4), Layer(Kind.CONCAT, ("x", "x"), "a"), Layer(Kind.ADD, ("x", "x"), "y")), "overwrite 'x'"),
    ("a blob that nothing wrote", copied((4, 4, 4), Layer(Kind.RELU, ("b",), "y")), "nothing has written"),
    ("a tensor that is absent", copied((4, 4, 4), AFFINE), "no tensor 'k'"),
    ("a name that is taken", copied((4, 4, 4), Layer(Kind.MAX_POOL, ("a",), "x", kernel=1)), "taken"),
    ("a name of the runtime's own", copied(
        (4, 4, 4), Layer(Kind.MAX_POOL, ("a",), "pad_for_y_cal", kernel=1)), "taken"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "says"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_refused(wrong: Model, says: str) -> None:
    with pytest.raises(ViolationError, match=says):
        shapes(wrong)
    with pytest.raises(ArtefactError, match="daBNN would not compute this file"):
        Net(write(wrong))


@pytest.mark.parametrize(
    "right",
    [
        binary((14, 14, 64), 64, pad=1),
        binary((7, 7, 128), 128, pad=1, stride=2),
        binary((7, 7, 96), 5, pad=1),
        binary((8, 6, 32), 4, 1),
        binary((112, 112, 32), 4, pad=1),
        conv((7, 7, 3), (5, 3, 3, 3), pad=1, stride=2),
        pool(Kind.MAX_POOL, (8, 8, 4), 3, stride=2, pad=1),
        pool(Kind.AVE_POOL, (7, 7, 8), 7),
        copied((1, 1, 1), AFFINE, k=floats("k", 1)),
        copied((8, 8, 3), Layer(Kind.RELU, ("a",), "y")),
    ],
)
def test_accepted(right: Model) -> None:
    """As measured on the library."""
    assert "y" in shapes(right)
