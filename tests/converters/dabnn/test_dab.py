"""Files as records: written and read alike, packed as the format says, and refused when damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.dabnn.dab import Kind, Layer, Model, Tensor, parse, write
from bibench_deploy.converters.dabnn.packing import pack, unpack, words_per_filter
from bibench_deploy.converters.dabnn.semantics import Net
from bibench_deploy.errors import ArtefactError

F = np.float32


def small() -> Model:
    """One layer of every kind."""
    signs = np.where(np.arange(4 * 9 * 4).reshape(4, 3, 3, 4) % 3 == 0, 1.0, -1.0)
    tensors = {
        "stem": Tensor("stem", (4, 1, 1, 3), np.arange(12, dtype=F).reshape(4, 1, 1, 3)),
        "bits": Tensor("bits", (4, 3, 3, 4), pack(signs)),
        "ones": Tensor("ones", (4,), np.ones(4, F)),
        "half": Tensor("half", (1,), np.full(1, 0.5, F)),
        "map": Tensor("map", (1, 4, 4, 4), np.ones((1, 4, 4, 4), F)),
    }
    layers = [
        Layer(Kind.FP_CONV, ("x",), "a", ("stem", "ones")),
        Layer(Kind.BIN_CONV, ("a",), "b", ("bits",), pad=1),
        Layer(Kind.AFFINE, ("b",), "c", ("ones", "ones")),
        Layer(Kind.ADD, ("c", "map"), "d"),
        Layer(Kind.PRELU, ("d",), "e", ("half",)),
        Layer(Kind.RELU, ("e",), "f"),
        Layer(Kind.CONCAT, ("f", "a"), "g"),
        Layer(Kind.MAX_POOL, ("g",), "h", kernel=2, stride=2),
        Layer(Kind.AVE_POOL, ("h",), "y", kernel=2),
    ]
    return Model("x", (4, 4, 3), layers, tensors)


def test_what_is_written_is_read() -> None:
    model, found = small(), parse(write(small()))
    assert (found.input, found.shape) == (model.input, model.shape)
    assert found.layers == model.layers
    assert list(found.tensors) == list(model.tensors)
    for name, tensor in model.tensors.items():
        assert found.tensors[name].shape == tensor.shape
        assert np.array_equal(found.tensors[name].data, tensor.data)


def test_the_same_records_are_the_same_bytes() -> None:
    assert write(small()) == write(small())


def test_the_root_as_the_runtime_reads_it() -> None:
    """Slots of ``Model`` by hand: 0 layers, 1 initializers, 2 inputs, 3 the version, which must be 2."""
    data = write(small())
    root = struct.unpack_from("<I", data)[0]
    table = root - struct.unpack_from("<i", data, root)[0]
    slots = [struct.unpack_from("<H", data, table + 4 + 2 * slot)[0] for slot in range(4)]
    assert struct.unpack_from("<I", data, root + slots[3])[0] == 2
    lengths = []
    for slot in slots[:3]:
        vector = root + slot + struct.unpack_from("<I", data, root + slot)[0]
        lengths.append(struct.unpack_from("<I", data, vector)[0])
    assert lengths == [9, 5, 1]


def test_words_start_at_a_multiple_of_eight_bytes() -> None:
    """The runtime uses them where they lie in the mapped file."""
    data = write(small())
    assert data.index(small().tensors["bits"].data.tobytes()) % 8 == 0


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_refused(share: float) -> None:
    data = write(small())
    with pytest.raises(ArtefactError, match=r"not a \.dab file"):
        parse(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [b"TFL3" * 50, b"\0" * 64, b"\xff" * 64], ids=["text", "zeros", "ones"])
def test_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(ArtefactError, match=r"not a \.dab file"):
        parse(data)


def test_a_damaged_file_is_refused_or_read() -> None:
    """Whatever bits are wrong, no other error comes of it: 600 files, each with one to three bytes changed."""
    data, rng, refused = write(small()), np.random.default_rng(1), 0
    for _ in range(600):
        damaged = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        try:
            Net(bytes(damaged))
        except ArtefactError:
            refused += 1
    assert 300 < refused < 600  # weights may have any value


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (Layer(Kind.MAX_POOL, ("x",), "y", kernel=0), "a kernel of 0"),
        (Layer(Kind.MAX_POOL, ("x",), "y", kernel=2, stride=0), "a stride of 0"),
        (Layer(Kind.AVE_POOL, ("x",), "y", kernel=2, pad=-1), "a padding of -1"),
        (Layer(Kind.FP_CONV, ("x",), "y"), "field 1 of a table is absent"),
        (Layer(Kind.CONCAT, (), "y"), "not enough values"),
    ],
)
def test_a_layer_that_says_nothing_sensible(layer: Layer, says: str) -> None:
    with pytest.raises(ArtefactError, match=says):
        parse(write(Model("x", (4, 4, 4), [layer])))


def test_another_version_is_refused() -> None:
    data = bytearray(write(small()))
    root = struct.unpack_from("<I", data)[0]
    table = root - struct.unpack_from("<i", data, root)[0]
    version = root + struct.unpack_from("<H", data, table + 10)[0]
    struct.pack_into("<I", data, version, 1)
    with pytest.raises(ArtefactError, match="version is 1, not 2"):
        parse(bytes(data))


@pytest.mark.parametrize(
    ("kernel", "channels", "words"),
    [
        # 64 channels under 3×3 are not padded to 128 bits: the kernel for them reads 9 words.
        (3, 64, 9), (1, 64, 2), (5, 64, 26), (2, 64, 4), (1, 3, 2), (3, 32, 6), (1, 128, 2), (3, 128, 18),
        (3, 192, 28), (1, 1000, 16),
    ],
)  # fmt: skip
def test_words_of_a_filter(kernel: int, channels: int, words: int) -> None:
    assert words_per_filter(kernel, kernel, channels) == words


def test_bits_by_hand() -> None:
    """(kh, kw, channel), channel fastest, the first in the lowest bit, 1 for +1."""
    signs = np.full((1, 2, 2, 3), -1.0)
    signs[0, 0, 0, 0] = signs[0, 0, 1, 2] = signs[0, 1, 1, 2] = 1
    assert pack(signs).tolist() == [1 << 0 | 1 << 5 | 1 << 11, 0]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 31, 64, 65, 128, 200])),
    st.integers(0, 2**32),
)
def test_packing_back_and_forth(sizes: tuple[int, int, int], seed: int) -> None:
    filters, kernel, channels = sizes
    shape = (filters, kernel, kernel, channels)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=shape)
    words = pack(signs)
    assert words.size == filters * words_per_filter(kernel, kernel, channels)
    assert np.array_equal(unpack(words, shape), signs)
