"""Random small networks of every operator that daBNN takes, on numbers that float32 adds and multiplies exactly.

All constants and inputs are small multiples of powers of two, so that equality with a threshold is common and a sum
is the same in every order: a wrong sign can't hide behind rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bibench_deploy.graph import BinaryGraph

from .binary_graphs import binary_layer, make_graph

F = np.float32
Shape = tuple[int, int, int]


@dataclass
class Net:
    """A network that grows.

    Attributes:
        value: the last value; shape: its (C, H, W).
        earlier: values that were computed before, with their shapes.
    """

    rng: np.random.Generator
    value: str
    shape: Shape
    lines: list[str] = field(default_factory=list)
    constants: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    earlier: list[tuple[str, Shape]] = field(default_factory=list)

    def constant(self, array: npt.ArrayLike) -> str:
        """The name of a new constant."""
        name = f"k{len(self.constants)}"
        self.constants[name] = np.asarray(array, F)
        return name

    def then(self, text: str, shape: Shape, value: str | None = None) -> None:
        """A node; ``{}`` stands for its output."""
        self.earlier.append((self.value, self.shape))
        name = value or f"v{len(self.lines)}"
        self.lines.append(text.replace("{}", name))
        self.value, self.shape = name, shape

    def some(self, *choices: float, size: tuple[int, ...] | int = ()) -> npt.NDArray[np.float32]:
        """Random ones of some numbers."""
        return np.asarray(self.rng.choice(choices, size=size), F)

    def channels(self, *choices: float) -> npt.NDArray[np.float32]:
        """A number a channel, or one for all."""
        count = self.shape[0] if self.rng.random() < 0.7 else 1
        return self.some(*choices, size=(count, 1, 1))


def _binary(net: Net) -> None:
    c, h, w = net.shape
    kernel = int(net.rng.choice([1, 3])) if min(h, w) >= 3 else 1
    pad = int(net.rng.integers(0, 2)) if kernel == 3 else 0
    stride = int(net.rng.choice([1, 1, 2])) if min(h, w) + 2 * pad - kernel >= 1 else 1
    filters = int(net.rng.choice([4, 8, c, c, 64, 5]))
    text, constants = binary_layer(
        net.rng,
        net.value,
        f"b{len(net.lines)}",
        (filters, c, kernel, kernel),
        pads=(pad,) * 4,
        pad_value=float(net.some(-1, 0, 0, 1, 0.5)),
        strides=(stride, stride),
        threshold=net.channels(0, 0, 0, 0.5, -1),
        direction=net.channels(1, 1, 1, 1, -1),
        multiplier=net.some(0.25, 0.125, 0.25, -0.25, 0, size=(filters, 1, 1)),
        bias=net.some(0, 0.5, -1, 0.25, size=(filters, 1, 1)),
    )
    net.constants |= constants
    if pad and stride == 1 and net.rng.random() < 0.1:
        net.constants[f"b{len(net.lines)}_b"] = net.some(0, 0.5, -1, size=(filters, h, w))
    after = [(size + 2 * pad - kernel) // stride + 1 for size in (h, w)]
    net.then(text, (filters, after[0], after[1]), f"b{len(net.lines)}")


def _shortcut(net: Net) -> None:
    fitting = [name for name, shape in net.earlier if shape == net.shape]
    if fitting:
        other = str(net.rng.choice(fitting))
        pair = [net.value, other] if net.rng.random() < 0.5 else [other, net.value]
        net.then(f"{{}} = Add ({', '.join(pair)})", net.shape)


def _arithmetic(net: Net) -> None:
    op = str(net.rng.choice(["Add", "Sub", "Mul", "Div"]))
    numbers = net.channels(*((0.5, 1, -1, 2) if op in ("Mul", "Div") else (0, 0.5, -1, 1)))
    pair = [net.value, net.constant(numbers)]
    if op != "Div" and net.rng.random() < 0.4:
        pair.reverse()
    net.then(f"{{}} = {op} ({', '.join(pair)})", net.shape)


def _map(net: Net) -> None:
    net.then(f"{{}} = Add ({net.value}, {net.constant(net.some(0, 0.5, -1, size=net.shape))})", net.shape)


def _relu(net: Net) -> None:
    net.then(f"{{}} = Relu ({net.value})", net.shape)


def _prelu(net: Net) -> None:
    net.then(f"{{}} = PRelu ({net.value}, {net.constant(net.channels(0.5, 0.25, 0, -1))})", net.shape)


def _clip(net: Net) -> None:
    low, high = (net.constant(bound) for bound in (-1.0, 1.0))
    chosen = [(low, high), (low, high), (low, ""), ("", high)][int(net.rng.integers(4))]
    net.then(f"{{}} = Clip ({net.value}, {', '.join(chosen).rstrip(', ')})", net.shape)


def _pool(net: Net) -> None:
    c, h, w = net.shape
    if min(h, w) >= 2:
        op = str(net.rng.choice(["MaxPool", "AveragePool"]))
        window = "kernel_shape = [2, 2], strides = [2, 2]"
        net.then(f"{{}} = {op} <{window}> ({net.value})", (c, h // 2, w // 2))


def _max_of_signs(net: Net) -> None:
    c, h, w = net.shape
    if min(h, w) < 4:
        return
    stem = f"b{len(net.lines)}"
    text, constants = binary_layer(
        net.rng,
        net.value,
        stem,
        (8, c, 3, 3),
        pads=(1, 1, 1, 1),
        pad_value=float(net.some(-1, 0, 1)),
        threshold=net.channels(0, 0.5),
        direction=net.channels(1, -1),
        multiplier=0.25,
        bias=0.5,
    )
    pool = f"{stem}_p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> ({stem}_s)\n"
    step, rest = text.split("\n", 1)
    net.constants |= constants
    net.then(f"{step}\n{pool}{rest.replace(f'({stem}_s,', f'({stem}_p,')}", (8, h // 2, w // 2), stem)


def _concat(net: Net) -> None:
    c, h, w = net.shape
    fitting = [name for name, shape in net.earlier if shape == net.shape]
    if fitting and c <= 64:
        net.then(f"{{}} = Concat <axis = 1> ({net.value}, {net.rng.choice(fitting)})", (2 * c, h, w))


def _float(net: Net) -> None:
    c, h, w = net.shape
    pad = int(net.rng.integers(0, 2)) if min(h, w) >= 3 else 0
    kernel = 3 if pad else 1
    weight = net.constant(net.some(0, 0, 0, 0.5, -0.5, size=(8, c, kernel, kernel)))
    bias = f", {net.constant(net.some(0, 0.5, -1, size=8))}" if net.rng.random() < 0.5 else ""
    net.then(f"{{}} = Conv <pads = {[pad] * 4}> ({net.value}, {weight}{bias})", (8, h, w))


def _head(net: Net) -> tuple[int, ...]:
    """How a network ends; the shape of its output."""
    c, h, w = net.shape
    kind = int(net.rng.integers(4))
    if kind == 0:
        net.then(f"{{}} = Relu ({net.value})", net.shape, "y")
        return (1, *net.shape)
    if kind == 1 and h * w in (1, 4, 16, 64):
        net.then(f"{{}} = GlobalAveragePool ({net.value})", (c, 1, 1))
        c, h, w = net.shape
    net.then(f"{{}} = Flatten ({net.value})", net.shape)
    if kind == 2:
        weight = net.constant(net.some(0, 0, 0.5, -0.5, size=(10, c * h * w)))
        net.then(f"{{}} = Gemm <transB = 1> ({net.value}, {weight})", (10, 1, 1), "y")
        return (1, 10)
    threshold = float(net.some(0, 0.5))
    text, constants = binary_layer(
        net.rng, net.value, "y", (10, c * h * w), threshold=threshold, multiplier=0.5, bias=0.25
    )
    net.constants |= constants
    net.then(text, (10, 1, 1), "y")
    return (1, 10)


STEPS: list[Callable[[Net], None]] = [
    _binary, _binary, _binary, _shortcut, _shortcut, _shortcut, _arithmetic, _map, _relu, _prelu, _clip, _pool,
    _max_of_signs, _concat, _float,
]  # fmt: skip


def random_net(
    seed: int, steps: int = 7, kinds: Sequence[Callable[[Net], None]] = STEPS
) -> tuple[BinaryGraph, npt.NDArray[np.float32]]:
    """A network and an input (1, C, H, W) for it, of so many steps of some kinds."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.choice([3, 4, 32, 64])), *[int(rng.choice([4, 7, 8]))] * 2)
    net = Net(rng, "x", (shape[0], shape[1], shape[2]))
    for _ in range(steps):
        kinds[int(rng.integers(len(kinds)))](net)
    if not any("bibench.Binary" in line for line in net.lines):
        _binary(net)
    _head(net)
    graph = make_graph("\n".join(net.lines), {"x": (1, *shape)}, constants=net.constants)
    x = rng.integers(-4, 5, size=(1, *shape)).astype(F) / 2
    return graph, x
