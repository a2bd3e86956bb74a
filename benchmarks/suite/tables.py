"""What was measured of networks, as tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .cases import FMA, NATIVE, POPCOUNT, Case
from .markdown import milliseconds, table
from .rounds import Measured
from .statistics import estimate, ratio


def network_table(measured: Measured, cases: Sequence[Case]) -> str:
    """Latencies of one architecture, by variant and threads; each against the native engine's fastest kernels."""
    rows = []
    for case in sorted(cases, key=lambda case: (case.threads, _rank(cases, case.variant))):
        blocks = measured.blocks.get(case)
        if not blocks or case.library in (POPCOUNT, FMA):
            continue
        own = measured.blocks.get(Case(NATIVE, case.model, case.variant, case.threads))
        against = "" if not own or blocks is own else f"{ratio(blocks, own).median:.2f}"
        name = case.library + (f" ({kernel})" if (kernel := measured.kernels.get(case)) else "")
        rows.append((case.variant, name, str(case.threads), milliseconds(estimate(blocks)), against))
    headers = (
        "variant",
        "library (kernel)",
        "threads",
        "ms: median (lowest–highest round) minimum",
        "× native",
    )
    return table(headers, rows, left=2)


def ceiling_table(measured: Measured, cases: Sequence[Case]) -> str:
    """The ceilings of one architecture, in ms of one core."""
    rows = [
        (case.library, measured.kernels.get(case) or "", milliseconds(estimate(measured.blocks[case])))
        for case in cases
        if case.library in (POPCOUNT, FMA) and measured.blocks.get(case)
    ]
    return table(("ceiling", "instructions", "ms: median (lowest–highest round) minimum"), rows, left=2)


def missing_lines(measured: Measured) -> str:
    """What was not measured and why; a reason once."""
    reasons: dict[str, list[str]] = {}
    for case, why in measured.missing.items():
        reasons.setdefault(" ".join(why.split()), []).append(str(case))
    return "\n".join(f"- not measured: {'; '.join(cases)}: {why}" for why, cases in reasons.items())


def _rank(cases: Sequence[Case], variant: str) -> int:
    return list(dict.fromkeys(case.variant for case in cases)).index(variant)
