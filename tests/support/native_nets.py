"""Random networks as ``dabnn_nets`` makes them, of what the native engine takes besides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bibench_deploy.graph import BinaryGraph

from . import dabnn_nets
from .binary_graphs import binary_layer
from .dabnn_nets import STEPS, Net


def _binary(net: Net) -> None:
    """Any groups, kernel, dilation, stride and padding."""
    c, h, w = net.shape
    groups = int(net.rng.choice([g for g in (1, 2, 3, 4, c) if c % g == 0]))
    filters = groups * int(net.rng.choice([1, 2, 16, 17, 33] if groups < 8 else [1, 2]))
    kernel, stride = net.rng.integers(1, 4, 2), net.rng.choice([1, 1, 2, 3], 2)
    dilation, pads = net.rng.choice([1, 1, 2], 2), net.rng.integers(0, 3, 4)
    span = np.array([h, w]) + pads[:2] + pads[2:] - dilation * (kernel - 1) - 1
    if filters > 160 or min(span) < 0:
        return
    name = f"b{len(net.lines)}"
    text, constants = binary_layer(
        net.rng,
        net.value,
        name,
        (filters, c // groups, *map(int, kernel)),
        pads=pads.tolist(),
        pad_value=float(net.some(-1, 0, 1, 0.25)),
        strides=stride.tolist(),
        dilations=dilation.tolist(),
        group=groups,
        threshold=net.channels(0, 0.5, -1),
        direction=net.channels(1, 1, -1),
        multiplier=net.some(0.25, 0.5, -0.25, 0, size=(filters, 1, 1)),
        bias=net.some(0, 0.5, -1, size=(filters, 1, 1)),
    )
    net.constants |= constants
    height, width = (span // stride + 1).tolist()
    net.then(text, (filters, height, width), name)


def _whole(net: Net, *numbers: int) -> str:
    name = f"n{len(net.constants)}"
    net.constants[name] = np.array(numbers)
    return name


def _shuffle(net: Net) -> None:
    """Of channels."""
    c, h, w = net.shape
    if c % 2 == 0:
        net.then(f"{{}} = Reshape ({net.value}, {_whole(net, 1, 2, c // 2, h, w)})", net.shape)
        net.then(f"{{}} = Transpose <perm = [0, 2, 1, 3, 4]> ({net.value})", net.shape)
        net.then(f"{{}} = Reshape ({net.value}, {_whole(net, 1, c, h, w)})", net.shape)
        del net.earlier[-2:]  # of five axes


def _turn(net: Net) -> None:
    c, h, w = net.shape
    net.then(f"{{}} = Transpose <perm = [0, 1, 3, 2]> ({net.value})", (c, w, h))


def _pad(net: Net) -> None:
    c, h, w = net.shape
    top, left, bottom, right = net.rng.integers(0, 2, 4).tolist()
    pads = _whole(net, 0, 0, top, left, 0, 0, bottom, right)
    text = f"{{}} = Pad ({net.value}, {pads}, {net.constant(net.some(0, 1, -1))})"
    net.then(text, (c, h + top + bottom, w + left + right))


def _slice(net: Net) -> None:
    c, h, w = net.shape
    first = int(net.rng.integers(0, c // 2 + 1)) if c > 1 else 0
    bounds = ", ".join(_whole(net, number) for number in (first, c, 1))
    net.then(f"{{}} = Slice ({net.value}, {bounds})", (c - first, h, w))


def _factor(net: Net) -> None:
    """One a location, computed from the value itself."""
    x, shape = net.value, net.shape
    net.then(f"{{}} = Abs ({x})", shape)
    net.then(f"{{}} = ReduceMax ({net.value}, {_whole(net, 1)})", (1, *shape[1:]))
    net.then(f"{{}} = Mul ({x}, {net.value})", shape)


def _window(net: Net) -> None:
    c, h, w = net.shape
    kernel, stride = net.rng.integers(1, 4, 2), net.rng.integers(1, 3, 2)
    span = np.array([h, w]) - kernel
    if min(span) >= 0:
        window = f"kernel_shape = {kernel.tolist()}, strides = {stride.tolist()}"
        height, width = (span // stride + 1).tolist()
        net.then(f"{{}} = MaxPool <{window}> ({net.value})", (c, height, width))


KINDS: list[Callable[[Net], None]] = [
    *STEPS, _binary, _binary, _binary, _binary, _shuffle, _turn, _pad, _slice, _factor, _window,
]  # fmt: skip


def random_net(seed: int) -> tuple[BinaryGraph, npt.NDArray[np.float32]]:
    """A network and an input (1, C, H, W) for it."""
    return dabnn_nets.random_net(seed, 8, KINDS)
