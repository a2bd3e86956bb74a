"""Where the windows of a convolution or pooling lie, and which TensorFlow padding reproduces that exactly.

PyTorch and ONNX pad by given amounts; TensorFlow's SAME pads what is needed and puts the odd element at the
end, so that with stride 2 and an even size both differ by a pixel. LCE's converter moreover rewrites a
symmetric Pad before a VALID window silently to SAME when only the output size agrees, shifting it. Hence:

- only what some window reads is ever padded (``Axis.after``), which makes that rewrite exact or impossible;
- a network may be lowered rotated by 180 degrees (``Axis.rotated``): then the odd element is in front, as in
  PyTorch, and SAME is exact for most layers.

Everything here is a pure function of sizes; nothing knows of graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Form = Literal["valid", "same", "crop", "slice", "pad", "one-pad", "map"]
Padding = Literal["SAME", "VALID"]


@dataclass(frozen=True)
class Axis:
    """The windows along one spatial axis.

    Attributes:
        size: elements of the input.
        span: elements that a window spans, dilation counted: (kernel - 1) * dilation + 1.
        stride: distance of windows.
        before: elements of padding in front of the first window's first element; negative where it starts
            inside the image.
        out: number of windows.
    """

    size: int
    span: int
    stride: int
    before: int
    out: int

    @property
    def after(self) -> int:
        """Padding that the last window reads behind the image; negative: elements that no window reads."""
        return (self.out - 1) * self.stride + self.span - self.size - self.before

    @property
    def rotated(self) -> Axis:
        """The same windows on the reversed axis."""
        return Axis(self.size, self.span, self.stride, self.after, self.out)

    @property
    def unpadded(self) -> bool:
        """Whether every window lies inside the image."""
        return self.before <= 0 and self.after <= 0

    @property
    def same(self) -> bool:
        """Whether TensorFlow's SAME gives exactly these windows."""
        return self.out == -(-self.size // self.stride) and self.before == _same_before(
            self.size, self.span, self.stride
        )

    def outside(self, kernel: int) -> npt.NDArray[np.bool_]:
        """(out, kernel): whether a tap of a window reads padding."""
        dilation = (self.span - 1) // (kernel - 1) if kernel > 1 else 1
        position = np.arange(self.out)[:, None] * self.stride - self.before + np.arange(kernel) * dilation
        return (position < 0) | (position >= self.size)


def axis(
    size: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    before: int = 0,
    after: int = 0,
    ceil: bool = False,
) -> Axis:
    """The windows of an ONNX operator with explicit pads along one axis.

    With ``ceil`` a window that starts in the padding behind the image is dropped, as in PyTorch and ONNX.
    """
    span = (kernel - 1) * dilation + 1
    room = size + before + after - span
    out = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (out - 1) * stride >= size + before:
        out -= 1
    return Axis(size, span, stride, before, out)


#: The axis that a 1-D operator lacks: height 1.
POINT = Axis(1, 1, 1, 0, 1)


@dataclass(frozen=True)
class AxisPlan:
    """What is done along one axis: slice the input, pad it, apply the operator, select outputs.

    Attributes:
        begin, end, every: slice of the input.
        pads: then padded by (before, after).
        stride: of the operator.
        first, step: outputs ``first, first + step, ...`` are the wanted ones.
    """

    begin: int
    end: int
    every: int = 1
    pads: tuple[int, int] = (0, 0)
    stride: int = 1
    first: int = 0
    step: int = 1


@dataclass(frozen=True)
class Plan:
    """How a windowed operator is emitted.

    Attributes:
        form: valid (no padding read), same, crop (input extended, SAME, outputs cropped), slice (stride 1 and
            SAME, outputs sliced), pad (padded explicitly, VALID), one-pad (+1 padded after the sign, which
            LCE folds into its own one-padding), map (padded with +1, VALID, and a correction map added).
        padding: TensorFlow's.
        axes: per spatial axis.
    """

    form: Form
    padding: Padding
    axes: tuple[AxisPlan, ...]
    out: tuple[int, ...] = field(default=())

    @property
    def exact_alone(self) -> bool:
        """Whether nothing but slices of the input are added."""
        return self.form in ("valid", "same", "one-pad")


def _same_before(size: int, span: int, stride: int) -> int:
    """What TensorFlow's SAME pads in front."""
    return max((-(-size // stride) - 1) * stride + span - size, 0) // 2


def _unpadded(a: Axis) -> AxisPlan:
    """An axis without padding: drop what lies before the first window; a point reads every stride-th."""
    begin = -a.before
    if a.span == 1 and a.stride > 1:
        return AxisPlan(begin, begin + (a.out - 1) * a.stride + 1, a.stride, stride=1)
    windows = (a.size - begin - a.span) // a.stride + 1
    end = a.size if windows == a.out else a.size + a.after
    return AxisPlan(begin, end, stride=a.stride)


def _padded(a: Axis) -> AxisPlan:
    """An axis with all that is read padded explicitly."""
    if a.unpadded:
        return _unpadded(a)
    end = a.size if a.after >= 0 or _windows_with(a) == a.out else a.size + a.after
    return AxisPlan(max(-a.before, 0), end, pads=(max(a.before, 0), max(a.after, 0)), stride=a.stride)


def _windows_with(a: Axis) -> int:
    """VALID windows when only the front is padded."""
    return (a.size + a.before - a.span) // a.stride + 1


def _result(form: Form, padding: Padding, axes: Sequence[Axis], plans: Sequence[AxisPlan]) -> Plan:
    return Plan(form, padding, tuple(plans), tuple(a.out for a in axes))


def plan_real(axes: Sequence[Axis]) -> Plan:
    """A float convolution or a pooling: no padding, SAME where exact, else explicit padding and VALID."""
    if all(a.unpadded for a in axes):
        return _result("valid", "VALID", axes, [_unpadded(a) for a in axes])
    if all(a.same for a in axes):
        return _result("same", "SAME", axes, [AxisPlan(0, a.size, stride=a.stride) for a in axes])
    return plan_padded(axes)


def plan_padded(axes: Sequence[Axis]) -> Plan:
    """Explicit padding of what is read, and VALID."""
    if all(a.unpadded for a in axes):
        return plan_real(axes)
    return _result("pad", "VALID", axes, [_padded(a) for a in axes])


def plan_binary(axes: Sequence[Axis], pad_value: float | None) -> Plan:
    """A binary convolution, whose padding is +1, -1, 0 or any other value in terms of its ±1 input.

    0 is exact where SAME is (LCE corrects the border itself). Otherwise, from cheap to dear: outputs of a
    SAME convolution cropped; with stride 1, sliced; at last a map of Ho*Wo*C floats that corrects the border.
    For +1 LCE has a padding of its own. For -1 the real tensor is padded, before the sign.

    LCE's border correction is wrong where a window is wider than the image (a 3x3 kernel on a 2x2 map): no
    form with SAME is used there.
    """
    if all(a.unpadded for a in axes):
        return plan_real(axes)
    same = all(a.same for a in axes)
    if pad_value == 1 and same:
        return _result("one-pad", "VALID", axes, [_padded(a) for a in axes])
    if pad_value in (1, -1):
        return plan_padded(axes)
    if pad_value == 0:
        if same and all(a.size >= a.span for a in axes):
            return plan_real(axes)
        cropped = [_cropped(a) for a in axes]
        if all(plan is not None for plan in cropped):
            form: Form = "slice" if all(a.stride == 1 for a in axes) else "crop"
            return _result(form, "SAME", axes, [plan for plan in cropped if plan is not None])
    return _result("map", "VALID", axes, [_padded(a) for a in axes])


def _cropped(a: Axis) -> AxisPlan | None:
    """Extend the image so that a SAME operator's windows hold the wanted ones, if there is a way.

    The extension is real data, +1 after the sign and not 0, so no wanted window may read it.
    """
    for extra in range(2 * a.stride):
        for front, back in ((0, extra), (extra, 0)):
            if (front and a.before > 0) or (back and a.after > 0):
                continue
            size = a.size + front + back
            if size < a.span:  # LCE's border correction is wrong there
                continue
            shift = _same_before(size, a.span, a.stride) + front - a.before
            first, rest = divmod(shift, a.stride)
            if rest == 0 and first >= 0 and first + a.out <= -(-size // a.stride):
                return AxisPlan(0, a.size, pads=(front, back), stride=a.stride, first=first)
    return None


def correction(
    signs: npt.NDArray[np.generic], axes: Sequence[Axis], pad_value: float
) -> npt.NDArray[np.float64]:
    """What a convolution padded with +1 lacks of one padded with ``pad_value``: (O, *out).

    ``sum over taps outside the image of (pad_value - 1) * weight``.

    Args:
        signs: (O, C/group, kh, kw).
        axes: the two spatial axes, upright.
        pad_value: in ±1 terms.
    """
    totals = signs.astype(np.float64).sum(1)
    inside = [~a.outside(k) for a, k in zip(axes, signs.shape[2:], strict=True)]
    kept = np.einsum("oij,hi,wj->ohw", totals, inside[0].astype(np.float64), inside[1].astype(np.float64))
    lacking: npt.NDArray[np.float64] = (pad_value - 1.0) * (totals.sum((1, 2))[:, None, None] - kept)
    return lacking
