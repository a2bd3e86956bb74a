"""Windows and paddings as numbers: which elements every plan reads, counted out without any engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bibench_deploy.converters.larq.padding import (
    Axis,
    Plan,
    axis,
    correction,
    plan_binary,
    plan_padded,
    plan_real,
)

PAD, SAME_PAD, OUTSIDE = "explicit pad", "pad of SAME", "outside"


def wanted(a: Axis, kernel: int, dilation: int) -> list[list[object]]:
    """The element that every tap of every window reads, by definition."""
    taps = [[o * a.stride - a.before + i * dilation for i in range(kernel)] for o in range(a.out)]
    return [[i if 0 <= i < a.size else OUTSIDE for i in window] for window in taps]


def read_by(plan: Plan, a: Axis, kernel: int, dilation: int) -> list[list[object]]:
    """The element that every tap reads when a plan is carried out with TensorFlow's rules."""
    p = plan.axes[0]
    line: list[object] = [*range(a.size)][p.begin : p.end : p.every]
    line = [PAD] * p.pads[0] + line + [PAD] * p.pads[1]
    span = (kernel - 1) * dilation + 1
    out = -(-len(line) // p.stride) if plan.padding == "SAME" else (len(line) - span) // p.stride + 1
    front = max((out - 1) * p.stride + span - len(line), 0) // 2 if plan.padding == "SAME" else 0
    places = [[o * p.stride - front + i * dilation for i in range(kernel)] for o in range(out)]
    windows = [[line[i] if 0 <= i < len(line) else SAME_PAD for i in window] for window in places]
    return windows[p.first :: p.step][: a.out]


@st.composite
def windows(draw: st.DrawFn) -> tuple[Axis, int, int]:
    """An axis, its kernel and its dilation."""
    size, kernel = draw(st.integers(1, 20)), draw(st.integers(1, 7))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    before, after = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    assume(size + before + after >= (kernel - 1) * dilation + 1)
    a = axis(size, kernel, stride, dilation, before, after, draw(st.booleans()))
    # a window that lies wholly in the padding in front makes no sense in a network and is not supported
    assume(-size < a.before < size + a.span and -size < a.after < size + a.span)
    return (a.rotated if draw(st.booleans()) else a), kernel, dilation


@given(windows())
def test_every_plan_reads_the_wanted_elements(case: tuple[Axis, int, int]) -> None:
    a, kernel, dilation = case
    target = wanted(a, kernel, dilation)
    plans = [plan_real([a]), plan_padded([a]), *(plan_binary([a], value) for value in (1.0, 0.0, -1.0, 0.5))]
    for plan in plans:
        found = read_by(plan, a, kernel, dilation)
        outside = [[OUTSIDE if i in (PAD, SAME_PAD) else i for i in window] for window in found]
        assert outside == target, plan


@given(windows())
def test_zero_padding_is_lces_own_and_never_wider_than_the_image(case: tuple[Axis, int, int]) -> None:
    a, kernel, dilation = case
    plan = plan_binary([a], 0.0)
    found = {i for window in read_by(plan, a, kernel, dilation) for i in window}
    if plan.form in ("same", "crop", "slice"):
        assert PAD not in found
        assert a.size + sum(plan.axes[0].pads) >= a.span
    elif plan.form == "map":
        assert SAME_PAD not in found
    else:
        assert found <= set(range(a.size))


@given(windows())
def test_turning_twice_changes_nothing(case: tuple[Axis, int, int]) -> None:
    a, kernel, dilation = case
    assert a.rotated.rotated == a
    turned = [
        [a.size - 1 - i if isinstance(i, int) else i for i in window[::-1]]
        for window in wanted(a, kernel, dilation)[::-1]
    ]
    assert wanted(a.rotated, kernel, dilation) == turned


@pytest.mark.parametrize(
    ("case", "size", "kernel", "stride", "pad", "upright", "rotated"),
    [
        ("ResNet's 3x3", 56, 3, 1, 1, "same", "same"),
        ("its strided 3x3, even map", 56, 3, 2, 1, "crop", "same"),
        ("the same, odd map", 7, 3, 2, 1, "same", "same"),
        ("a strided 7x7, even map", 224, 7, 2, 3, "map", "same"),
        ("strided 1x1", 56, 1, 2, 0, "valid", "valid"),
        ("a strided 5x5, even map", 56, 5, 2, 2, "map", "same"),
        ("too little padding", 56, 5, 1, 1, "slice", "slice"),
        ("too much padding", 56, 3, 1, 2, "map", "map"),
        ("stride 3", 9, 3, 3, 1, "crop", "crop"),
        ("kernel wider than the image", 2, 3, 1, 1, "map", "map"),
        ("no padding", 9, 3, 2, 0, "valid", "valid"),
    ],
)
def test_forms_of_zero_padded_binary_convolutions(
    case: str, size: int, kernel: int, stride: int, pad: int, upright: str, rotated: str
) -> None:
    a = axis(size, kernel, stride, 1, pad, pad)
    assert (plan_binary([a, a], 0.0).form, plan_binary([a.rotated] * 2, 0.0).form) == (upright, rotated), case


@pytest.mark.parametrize(
    ("value", "stride", "form"),
    [(1.0, 1, "one-pad"), (1.0, 2, "pad"), (-1.0, 1, "pad"), (0.5, 1, "map"), (None, 1, "map")],
)
def test_forms_of_other_paddings(value: float | None, stride: int, form: str) -> None:
    a = axis(8, 3, stride, 1, 1, 1)
    assert plan_binary([a, a], value).form == form


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "after"),
    [(8, 3, 2, 1, 0), (9, 3, 2, 1, 1), (224, 7, 2, 3, 2), (8, 1, 2, 0, -1), (7, 2, 2, 0, -1)],
)
def test_only_what_is_read_counts_as_padding(
    size: int, kernel: int, stride: int, pad: int, after: int
) -> None:
    assert axis(size, kernel, stride, 1, pad, pad).after == after


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "out"),
    [(5, 2, 2, 0, 3), (6, 2, 2, 0, 3), (5, 2, 2, 1, 3), (7, 3, 2, 1, 4)],
)
def test_ceil_mode_drops_windows_that_begin_behind_the_image(
    size: int, kernel: int, stride: int, pad: int, out: int
) -> None:
    assert axis(size, kernel, stride, 1, pad, pad, ceil=True).out == out


@given(windows(), windows(), st.sampled_from([0.0, -1.0, 0.5]), st.integers(0, 2**32 - 1))
def test_the_correction_is_what_one_padding_lacks(
    vertical: tuple[Axis, int, int], horizontal: tuple[Axis, int, int], value: float, seed: int
) -> None:
    (h, kh, dh), (w, kw, dw) = vertical, horizontal
    rng = np.random.default_rng(seed)
    signs = rng.choice(np.array([-1, 1], np.int8), size=(2, 3, kh, kw))
    rows = [[i == OUTSIDE for i in window] for window in wanted(h, kh, dh)]
    columns = [[i == OUTSIDE for i in window] for window in wanted(w, kw, dw)]
    outside = np.array(rows)[:, None, :, None] | np.array(columns)[None, :, None, :]
    lacking = (value - 1) * np.einsum("hwij,ocij->ohw", outside.astype(np.float64), signs.astype(np.float64))
    np.testing.assert_array_equal(correction(signs, [h, w], value), lacking)
