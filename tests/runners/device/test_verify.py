"""When outputs of a device are those of the artefact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bibench_deploy.converters.agreement import ROW_TOLERANCE
from bibench_deploy.converters.check_rows import CheckRows
from bibench_deploy.runners.device.verify import agreement

ROWS = 8
Array = np.ndarray[Any, Any]
EXPECTED: Array = np.random.default_rng(0).standard_normal((ROWS, 10)).astype(np.float32)


def batches(array: Array) -> tuple[dict[str, Array], ...]:
    return tuple({"y": row[None]} for row in array)


def off(relative: float, rows: int = ROWS) -> Array:
    """The expected outputs, the first rows of them off by so much of their largest number."""
    array = EXPECTED.copy()
    array[:rows, 0] += np.float32(relative) * np.abs(EXPECTED[:rows]).max(axis=1)
    return array


#: What the proven engine gives: rounding away from the reference.
PROVEN = off(2e-6)
#: What it gives for a model in which rounding flips signs in every row.
CHAOTIC = off(0.1)


@pytest.mark.parametrize(
    ("proven", "got", "elsewhere", "ok", "basis"),
    [
        pytest.param(PROVEN, PROVEN, None, True, "the same bits as where", id="the same bits"),
        pytest.param(
            CHAOTIC, CHAOTIC, None, True, "the same bits as where", id="the same bits, signs flipped"
        ),
        pytest.param(PROVEN, off(ROW_TOLERANCE / 2), None, True, "every row within", id="other rounding"),
        pytest.param(PROVEN, off(ROW_TOLERANCE * 2, 1), None, False, "another", id="one row off"),
        pytest.param(PROVEN, off(0.2, 1), None, False, "another", id="one row far off"),
        pytest.param(
            PROVEN, off(0.2, 1), off(0.2, 1), True, "this machine's kernels", id="no fused multiply-add"
        ),
        pytest.param(PROVEN, off(0.2, 1), off(0.2, 2), False, "another", id="not even so"),
        pytest.param(PROVEN, off(0.5), off(0.5), False, "another", id="the same wrong bits twice"),
        pytest.param(CHAOTIC, off(0.12), None, True, "amplify", id="chaos, as close as the proven engine"),
        pytest.param(CHAOTIC, off(0.5), None, False, "another", id="chaos, and further off"),
        pytest.param(PROVEN, PROVEN[::-1], None, False, "another", id="rows in another order"),
        pytest.param(PROVEN, np.zeros_like(PROVEN), None, False, "another", id="zeros"),
        pytest.param(PROVEN, np.full_like(PROVEN, np.nan), None, False, "another", id="NaN"),
        pytest.param(CHAOTIC, np.full_like(PROVEN, np.nan), None, False, "another", id="NaN in chaos"),
    ],
)
def test_what_counts_as_the_same_function(
    proven: Array, got: Array, elsewhere: Array | None, ok: bool, basis: str
) -> None:
    check = CheckRows(batches(EXPECTED), batches(EXPECTED), batches(proven))
    found = agreement(check, batches(got), lambda: None if elsewhere is None else batches(elsewhere))
    assert (found.ok, found.rows) == (ok, ROWS)
    assert found.basis.startswith(basis) or basis in found.basis


def test_what_is_counted() -> None:
    check = CheckRows(batches(EXPECTED), batches(EXPECTED), batches(PROVEN))
    got = PROVEN.copy()
    got[:3] = off(0.05)[:3]
    found = agreement(check, batches(got))
    assert (found.rows, found.identical, found.within) == (8, 5, 5)
    assert found.largest == pytest.approx(0.05, rel=1e-3)


def test_every_output_counts() -> None:
    two = tuple({"y": row[None], "z": row[None]} for row in EXPECTED)
    other = tuple({"y": row[None], "z": -row[None]} for row in EXPECTED)
    found = agreement(CheckRows(two, two, two), other)
    assert (found.ok, found.within) == (False, 0)
