"""Networks for the tests of commands: small, and deployable unless a peculiarity is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .onnx_models import make_model, save

CHANNELS, SIZE = 32, 8
PIXELS = 3


def binary_net(
    *,
    layers: int = 2,
    channels: int = CHANNELS,
    size: int = SIZE,
    sign: str = "step",
    runtime_factor: bool = False,
    binary: bool = True,
    scaled: bool = True,
    first: bool = False,
) -> onnx.ModelProto:
    """x (N, 3, size, size) → a float convolution → binary ones with residuals → 10 classes.

    Args:
        sign: "step" (x >= 0 ? 1 : −1) or "torch" (torch.sign).
        runtime_factor: XNOR's K behind every binary convolution.
        binary: whether the weights are.
        scaled: whether there is a factor and a bias behind the binary sums.
        first: whether the network begins with a sign of its input, and has no residuals.
    """
    rng = np.random.default_rng(3)
    constants: dict[str, Any] = {"zero": np.float32(0), "one": np.float32(1), "minus": np.float32(-1)}
    lines, value, inner = [], "x", PIXELS if first else channels
    if not first:
        constants["k"] = rng.standard_normal((channels, PIXELS, 3, 3)).astype(np.float32)
        lines.append("stem = Conv <pads = [1, 1, 1, 1]> (x, k)")
        value = "stem"
    for i in range(layers):
        real = rng.standard_normal((channels, inner, 3, 3)).astype(np.float32)
        constants[f"net.{i}.weight"] = np.where(real < 0, -1, 1).astype(np.float32) if binary else real
        constants[f"m{i}"] = rng.uniform(0.02, 0.1, (channels, 1, 1)).astype(np.float32)
        constants[f"b{i}"] = rng.uniform(-1, 1, (channels, 1, 1)).astype(np.float32)
        if sign == "torch":
            lines.append(f"s{i} = Sign ({value})")
        else:
            lines.append(f"t{i} = GreaterOrEqual ({value}, zero) s{i} = Where (t{i}, one, minus)")
        lines.append(f"c{i} = Conv <pads = [1, 1, 1, 1]> (s{i}, w{i})")
        result = f"c{i}"
        if runtime_factor:
            lines.append(
                f"a{i} = Abs ({value}) k{i} = ReduceMean <axes = [1]> (a{i}) f{i} = Mul (c{i}, k{i})"
            )
            result = f"f{i}"
        if scaled:
            lines.append(f"p{i} = Mul ({result}, m{i}) q{i} = Add (p{i}, b{i})")
            result = f"q{i}"
        if not first and scaled:
            lines.append(f"r{i} = Add ({result}, {value})")
            result = f"r{i}"
        value, inner = result, channels
    constants["fc"] = (rng.standard_normal((10, channels)) / 4).astype(np.float32)
    lines.append(f"pool = GlobalAveragePool ({value}) flat = Flatten (pool) y = Gemm <transB = 1> (flat, fc)")
    body = " ".join(lines)
    model = make_model(body, constants, inputs=f"float[N, {PIXELS}, {size}, {size}] x")
    for i in range(layers):  # ONNX's text form knows no dots in names
        _rename(model, f"w{i}", f"net.{i}.weight", constants)
    return model


def write_net(path: Path, **options: Any) -> Path:
    """Write ``binary_net`` to a file."""
    return save(path, binary_net(**options))


def inputs(rows: int = 4, size: int = SIZE) -> Any:
    return np.random.default_rng(7).standard_normal((rows, PIXELS, size, size)).astype(np.float32)


def _rename(model: onnx.ModelProto, old: str, new: str, constants: dict[str, Any]) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    model.graph.initializer.append(onnx.numpy_helper.from_array(constants[new], new))
