"""Does the artefact compute on the device what it computed where it was proven? Pure but for who is asked.

`convert` proved the artefact piece by piece and stored a few inputs, the reference's outputs and its own. On the
device, in this order:

1. Its outputs are, bit by bit, those of the proven engine. The native kernels sum in one order whatever the width
   of their vectors, so those with fused multiply-add (AVX2, AVX-512, NEON) give the same bits.
2. Or every row is within tolerance of the reference (``agreement.ROW_TOLERANCE``): the stored rows are such that
   rounding alone flips no sign in them, wherever there are such rows.
3. Or its outputs are, bit by bit, those of the same arithmetic on this machine (kernels without fused
   multiply-add), and these are as close to the reference as `convert` demands (``CHAOS_TOLERANCE``).
4. Or the proven engine itself was not within tolerance in any row, since signs amplify rounding in this model;
   then what `convert` demands of an artefact end to end is all that can be asked.

Anything else is another function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bibench_deploy.converters.agreement import CHAOS_TOLERANCE, ROW_TOLERANCE, row_differences
from bibench_deploy.converters.check_rows import Batch, CheckRows

#: The same rows by this machine's engine with other arithmetic; None where it has none.
Again = Callable[[], Sequence[Batch] | None]


@dataclass(frozen=True)
class Agreement:
    """How the outputs on a device compare.

    Attributes:
        rows: compared; identical: bit by bit those of the proven engine; within: of the reference's tolerance.
        largest: difference of a row from the reference, relative to its largest output.
        basis: on what the verdict rests, in words.
        ok: whether the device computes the artefact.
    """

    rows: int
    identical: int
    within: int
    largest: float
    basis: str
    ok: bool


def agreement(check: CheckRows, got: Sequence[Batch], again: Again = lambda: None) -> Agreement:
    """Compare a device's outputs with the stored ones.

    Args:
        got: one entry a batch, as ``check.expected``.
    """
    relative = _differences(check.expected, got)
    identical = _identical(check.proven, got)
    proven = _differences(check.expected, check.proven)
    median = float(np.median(relative))

    def result(basis: str, ok: bool = True) -> Agreement:
        within = int((relative <= ROW_TOLERANCE).sum())
        return Agreement(len(relative), int(identical.sum()), within, float(relative.max()), basis, ok)

    if identical.all():
        return result("the same bits as where it was proven")
    if (relative <= ROW_TOLERANCE).all():
        return result(f"every row within {ROW_TOLERANCE:g} of the reference")
    if median <= CHAOS_TOLERANCE:
        same = again()
        if same is not None and _identical(same, got).all():
            return result("the same bits as this machine's kernels of the same arithmetic")
        if not (proven <= ROW_TOLERANCE).any():
            return result("signs amplify rounding in this model: as close as where it was proven")
    return result("another function", ok=False)


def _differences(expected: Sequence[Batch], got: Sequence[Batch]) -> npt.NDArray[np.float64]:
    """Of each row, the output that differs most."""
    return np.concatenate(
        [
            np.max([row_differences(np.atleast_1d(a[name]), np.atleast_1d(b[name])) for name in a], axis=0)
            for a, b in zip(expected, got, strict=True)
        ]
    )


def _identical(expected: Sequence[Batch], got: Sequence[Batch]) -> npt.NDArray[np.bool_]:
    """Of each row, whether all outputs have the same bits."""
    return np.concatenate(
        [
            np.all([_same_bits(np.atleast_1d(a[name]), np.atleast_1d(b[name])) for name in a], axis=0)
            for a, b in zip(expected, got, strict=True)
        ]
    )


def _same_bits(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    # A zero's sign is no difference.
    same: npt.NDArray[np.bool_] = (a == b).reshape(len(a), -1).all(axis=1)
    return same
