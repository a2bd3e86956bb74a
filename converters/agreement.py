"""How far two computations of the same rows are apart, and how far is too far."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: A row is within tolerance end to end if it differs by less than this, relative to the row's largest value.
ROW_TOLERANCE = 1e-3
#: Median relative difference of a row that is accepted end to end where every piece was proven: one value within
#: rounding of its threshold flips a sign, and the difference grows from layer to layer.
CHAOS_TOLERANCE = 0.25
#: No difference is reported as larger: JSON has no infinity.
LARGEST = 1e30


def row_differences(
    expected: npt.NDArray[np.generic], got: npt.NDArray[np.generic]
) -> npt.NDArray[np.float64]:
    """Largest difference of each row, relative to the row's largest expected value.

    Args:
        expected, got: (rows, ...), of one shape. A number that is not finite in one of them alone is as far off
            as can be.
    """
    a, b = as_rows(expected), as_rows(got)
    scale = np.maximum(np.abs(a).max(axis=1), 1e-12)
    with np.errstate(invalid="ignore"):
        relative = np.abs(a - b).max(axis=1) / scale
    differences: npt.NDArray[np.float64] = np.minimum(np.nan_to_num(relative, nan=np.inf), LARGEST)
    return differences


def as_rows(array: npt.NDArray[np.generic]) -> npt.NDArray[Any]:
    """(rows, numbers of a row), float64."""
    return array.reshape(len(array), -1).astype(np.float64)
