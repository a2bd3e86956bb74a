"""What every binarized operator is: how weights, activations and outputs of one layer are treated.

An operator is the part of a binary layer that depends on the algorithm. The layer (``layers``) owns the
latent weights, pads, and calls the convolution:

    y = output_scale(x) · (input_scale(x) · pad(activation(x)) ⊛ weight(w)) + bias
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bibench_deploy.zoo.registry import OperatorOptions
from bibench_deploy.zoo.sign import Slope, clipped_slope, surrogate_sign


@dataclass(frozen=True)
class Geometry:
    """Shape of a binary layer.

    Attributes:
        weight_shape: (out, in / groups, *kernel); (out, in) of a linear layer.
        in_channels: channels (features) of the input.
        stride, padding, dilation: one entry a spatial axis; empty for a linear layer.
        groups: groups of the convolution.
        output_size: spatial size of the output where it is known at construction.
    """

    weight_shape: tuple[int, ...]
    in_channels: int
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    output_size: tuple[int, ...] | None = None

    @property
    def rank(self) -> int:
        """Number of spatial axes: 2, 1, or 0 for a linear layer."""
        return len(self.weight_shape) - 2

    def per_channel(self, channels: int) -> tuple[int, ...]:
        """Shape of one value a channel that broadcasts over (N, C, *spatial), or (…, C) of a linear layer."""
        return (1, channels) + (1,) * self.rank if self.rank else (channels,)


class Operator(nn.Module):
    """Base of all operators: BNN's signs, and no scaling factor.

    Args:
        geometry: shape of the layer.
        options: conventions.
    """

    def __init__(self, geometry: Geometry, options: OperatorOptions) -> None:
        super().__init__()
        self.geometry = geometry
        self.options = options

    def sign(self, x: Tensor, slope: Slope = clipped_slope) -> Tensor:
        """sign(x) in the layer's convention with the given surrogate gradient."""
        return surrogate_sign(x, self.options.sign_zero, slope)

    def weight(self, w: Tensor) -> Tensor:
        """Binarized weights, of w's shape; a channel factor may be multiplied in."""
        return self.sign(w)

    def activation(self, x: Tensor) -> Tensor:
        """Binarized activation, of x's shape."""
        return self.sign(x)

    def input_scale(self, x: Tensor) -> Tensor | None:
        """Factor on the padded activation, computed from the input x; broadcasts over (N, C, *spatial)."""
        return None

    def output_scale(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Factor on the output y, given the layer's input x; broadcasts over y."""
        return None

    def set_progress(self, fraction: float) -> None:
        """Move what is scheduled over training: 0 is its start, 1 its end, where a new operator stands."""

    def deploy(self) -> None:
        """Drop what only training needs."""


def channel_mean(w: Tensor) -> Tensor:
    """α = mean|w| of each output channel, shape (out, 1, …), without gradient (XNOR-Net, Eq. 6)."""
    return w.detach().abs().mean(dim=tuple(range(1, w.dim())), keepdim=True)
