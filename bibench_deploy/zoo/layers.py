"""Binary layers: torch's Conv2d, Conv1d and Linear with an operator in front of their product."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from bibench_deploy.errors import UnsupportedModelError
from bibench_deploy.zoo.base import Geometry, Operator
from bibench_deploy.zoo.bireal import BiReal
from bibench_deploy.zoo.bnn import Bnn
from bibench_deploy.zoo.dorefa import DoReFa
from bibench_deploy.zoo.fda import Fda
from bibench_deploy.zoo.reactnet import ReActNet
from bibench_deploy.zoo.recu import ReCU
from bibench_deploy.zoo.registry import OperatorOptions, algorithm
from bibench_deploy.zoo.xnor import Xnor
from bibench_deploy.zoo.xnorpp import XnorPlusPlus

OPERATORS: Mapping[str, type[Operator]] = {
    "bnn": Bnn,
    "xnor": Xnor,
    "dorefa": DoReFa,
    "bireal": BiReal,
    "xnorpp": XnorPlusPlus,
    "reactnet": ReActNet,
    "recu": ReCU,
    "fda": Fda,
}


class BinaryLayer(nn.Module):
    """What the three binary layers share. ``weight`` holds the latent float weights.

    Attributes:
        operator: the algorithm's part of the layer.
    """

    operator: Operator

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Binarized, padded and rescaled activation, and the zero padding that is left to the convolution."""
        operator = self.operator
        padding = operator.geometry.padding
        value = operator.options.pad_value
        binary = operator.activation(x)
        if value != 0 and any(padding):
            # F.pad counts axes from the last one.
            pads = [side for pad in reversed(padding) for side in (pad, pad)]
            binary = F.pad(binary, pads, value=float(value))
            padding = (0,) * len(padding)
        scale = operator.input_scale(x)
        return (binary if scale is None else binary * scale), padding

    def _rescaled(self, x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
        scale = self.operator.output_scale(x, y)
        if scale is not None:
            y = y * scale
        return y if bias is None else y + bias.view(self.operator.geometry.per_channel(bias.numel()))


class BinaryConv2d(nn.Conv2d, BinaryLayer):
    """Binary convolution, (N, C, H, W) → (N, out, H', W').

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as ``nn.Conv2d``.
        algorithm: identifier of the binarization algorithm.
        options: conventions.
        output_size: (H', W') if known; XNOR++ otherwise takes it from the first input.

    Raises:
        InputError: unknown algorithm.
        UnsupportedModelError: a geometry for which the algorithm is not defined.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        algorithm: str,
        options: OperatorOptions | None = None,
        output_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.operator = _operator(algorithm, options, _conv_geometry(self, output_size))

    def forward(self, input: Tensor) -> Tensor:
        """Binary convolution of (N, C, H, W)."""
        a, padding = self._padded(input)
        w = self.operator.weight(self.weight)
        y = F.conv2d(a, w, None, self.stride, padding, self.dilation, self.groups)
        return self._rescaled(input, y, self.bias)


class BinaryConv1d(nn.Conv1d, BinaryLayer):
    """Binary convolution, (N, C, L) → (N, out, L'). Arguments and errors as BinaryConv2d's."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        algorithm: str,
        options: OperatorOptions | None = None,
        output_size: tuple[int] | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.operator = _operator(algorithm, options, _conv_geometry(self, output_size))

    def forward(self, input: Tensor) -> Tensor:
        """Binary convolution of (N, C, L)."""
        a, padding = self._padded(input)
        w = self.operator.weight(self.weight)
        y = F.conv1d(a, w, None, self.stride, padding, self.dilation, self.groups)
        return self._rescaled(input, y, self.bias)


class BinaryLinear(nn.Linear, BinaryLayer):
    """Binary linear layer, (…, in) → (…, out). Arguments as ``nn.Linear``'s, errors as BinaryConv2d's."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        algorithm: str,
        options: OperatorOptions | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.operator = _operator(algorithm, options, Geometry(tuple(self.weight.shape), in_features))

    def forward(self, input: Tensor) -> Tensor:
        """Binary product of (…, in)."""
        a, _ = self._padded(input)
        return self._rescaled(input, F.linear(a, self.operator.weight(self.weight)), self.bias)


def _operator(identifier: str, options: OperatorOptions | None, geometry: Geometry) -> Operator:
    if algorithm(identifier).id not in OPERATORS:
        raise UnsupportedModelError(f"'{identifier}' has no binary layer", remedy="use torch's own layer")
    return OPERATORS[identifier](geometry, options or OperatorOptions())


def _conv_geometry(conv: nn.Conv1d | nn.Conv2d, output_size: tuple[int, ...] | None) -> Geometry:
    if isinstance(conv.padding, str):
        raise UnsupportedModelError("padding must be given in numbers", where=f"{conv}")
    return Geometry(
        weight_shape=tuple(conv.weight.shape),
        in_channels=conv.in_channels,
        stride=tuple(conv.stride),
        padding=tuple(conv.padding),
        dilation=tuple(conv.dilation),
        groups=conv.groups,
        output_size=output_size,
    )
