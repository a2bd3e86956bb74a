"""What the native engine is held to, and whether it is met. Pure.

The bars are those that the engine was ordered with; each is judged by the median over the rounds. Its confidence
interval stands beside it, so that a reader sees when noise decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cases import FMA, FP32, LARQ, LITERT, NATIVE, ONNXRUNTIME, POPCOUNT, RELU, YARDSTICK, Case
from .markdown import table, times
from .rounds import Measured
from .statistics import Blocks, Ratio, fastest, ratio, sum_blocks

#: Threads → how many times as fast as Larq (its fastest x86 kernel), binarized ResNet18.
OVER_LARQ = {1: 6.0, 2: 11.0}
#: fp32 against the faster of onnxruntime and LiteRT with XNNPACK.
OVER_FLOAT_LIBRARIES = 1.1
#: Binarized against the engine's own fp32; the paper's mean on ARM is 5.45 (BiBench, section 5.3).
OVER_OWN_FLOAT = 5.0
#: A whole network against the sum of its layers' ceilings.
OVER_CEILINGS = 1.4
#: ReActNet and XNOR++ against DoReFa.
OVER_YARDSTICK = 1.1
#: Percent of the popcount ceiling in a 3×3 layer, by the least number of its input channels.
OF_POPCOUNT = {128: 85.0, 64: 75.0}
#: More threads than cores against the best number of threads; the paper's Larq is 5 to 30 times slower at 16 on 8.
OVERSUBSCRIBED = 1.5
PROGRAM_BYTES = 1_000_000
RESIDENT_BYTES = 25_000_000


@dataclass(frozen=True)
class Bar:
    """A limit and what was measured.

    Attributes:
        what: in words.
        value: the figure that is judged; None where something of it could not be measured.
        shown: the figure with its spread, or why there is none.
        limit: the bar.
        at_least: whether more is better.
        unit: of both.
        interval: confidence interval of the value; None where it has none.
    """

    what: str
    value: float | None
    shown: str
    limit: float
    at_least: bool = False
    unit: str = "×"
    interval: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """``pass``, ``FAIL`` or ``not measured``; unsure where the interval holds the limit."""
        if self.value is None:
            return "not measured"
        met = self.value >= self.limit if self.at_least else self.value <= self.limit
        unsure = self.interval is not None and self.interval[0] < self.limit < self.interval[1]
        return ("pass" if met else "FAIL") + (" (unsure)" if unsure else "")

    @property
    def demanded(self) -> str:
        """The limit in words."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}"


def show(bars: Sequence[Bar]) -> str:
    """The table of bars."""
    rows = [(bar.what, bar.shown, bar.demanded, bar.verdict) for bar in bars]
    return table(("what", "measured", "bar", "verdict"), rows, left=4)


def _native(isa: str) -> str:
    return f"native ({isa})" if isa else NATIVE


def larq_bars(measured: Measured, model: str, threads: Sequence[int], isa: str = "") -> list[Bar]:
    """Larq's time over ours, DoReFa."""
    return [
        _bar(
            f"Larq over {_native(isa)}, {model} {YARDSTICK}, {_threads(count)}",
            measured,
            [Case(LARQ, model, YARDSTICK, count)],
            [Case(NATIVE, model, YARDSTICK, count, isa)],
            OVER_LARQ[count],
            at_least=True,
        )
        for count in threads
        if count in OVER_LARQ
    ]


def float_bars(measured: Measured, model: str, threads: Sequence[int], isa: str = "") -> list[Bar]:
    """Our fp32 over the fastest library's, whether it executes the twin or the network with ReLU."""
    bars = []
    for count in threads:
        rivals = [Case(ONNXRUNTIME, model, FP32, count), Case(LITERT, model, FP32, count)]
        rivals.append(Case(ONNXRUNTIME, model, RELU, count))
        known = {str(case): measured.blocks[case] for case in rivals if measured.blocks.get(case)}
        best = fastest(known) if known else ""
        rival = next((case for case in rivals if str(case) == best), rivals[0])
        own = [Case(NATIVE, model, FP32, count, isa)]
        what = f"{_native(isa)} over {rival.library}, {model} {rival.variant}, {_threads(count)}"
        bars.append(_bar(what, measured, own, [rival], OVER_FLOAT_LIBRARIES))
    return bars


def own_float_bars(measured: Measured, model: str, threads: Sequence[int], isa: str = "") -> list[Bar]:
    """Our fp32's time over ours binarized."""
    return [
        _bar(
            f"{_native(isa)} fp32 over {YARDSTICK}, {model}, {_threads(count)}",
            measured,
            [Case(NATIVE, model, FP32, count, isa)],
            [Case(NATIVE, model, YARDSTICK, count, isa)],
            OVER_OWN_FLOAT,
            at_least=True,
        )
        for count in threads
    ]


def ceiling_bars(measured: Measured, model: str, isa: str = "") -> list[Bar]:
    """The whole network's time over the sum of its layers' ceilings, one thread."""
    ceilings = [Case(kind, model, YARDSTICK, 1, isa) for kind in (POPCOUNT, FMA)]
    own = [Case(NATIVE, model, YARDSTICK, 1, isa)]
    return [
        _bar(f"{_native(isa)} {YARDSTICK} over the ceilings, {model}", measured, own, ceilings, OVER_CEILINGS)
    ]


def variant_bars(measured: Measured, model: str, threads: Sequence[int], isa: str = "") -> list[Bar]:
    """ReActNet's and XNOR++'s time over DoReFa's."""
    return [
        _bar(
            f"{_native(isa)} {variant} over {YARDSTICK}, {model}, {_threads(count)}",
            measured,
            [Case(NATIVE, model, variant, count, isa)],
            [Case(NATIVE, model, YARDSTICK, count, isa)],
            OVER_YARDSTICK,
        )
        for variant in ("reactnet", "xnorpp")
        for count in threads
    ]


def oversubscription_bars(measured: Measured, cases: Sequence[Case]) -> list[Bar]:
    """The largest number of threads against the best of the others, of cases that differ in threads alone."""
    most = max(cases, key=lambda case: case.threads)
    others = [case for case in cases if case is not most]
    known = {str(case): measured.blocks[case] for case in others if measured.blocks.get(case)}
    best = next((case for case in others if known and str(case) == fastest(known)), most)
    what = (
        f"{most.library}, {most.model} {most.variant}: {_threads(most.threads)} over {_threads(best.threads)}"
    )
    return [_bar(what, measured, [most], [best], OVERSUBSCRIBED)]


def _bar(
    what: str,
    measured: Measured,
    over: Sequence[Case],
    under: Sequence[Case],
    limit: float,
    at_least: bool = False,
) -> Bar:
    """A ratio of sums of cases, as a bar."""
    absent = [case for case in (*over, *under) if not measured.blocks.get(case)]
    if absent:
        why = measured.missing.get(absent[0], "not asked for")
        return Bar(what, None, f"no {absent[0]}: {why}", limit, at_least)
    value: Ratio = ratio(*(_blocks(measured, cases) for cases in (over, under)))
    interval = (value.low, value.high)
    return Bar(what, value.median, times(value), limit, at_least, interval=interval)


def _blocks(measured: Measured, cases: Sequence[Case]) -> Blocks:
    return (
        sum_blocks([measured.blocks[case] for case in cases]) if len(cases) > 1 else measured.blocks[cases[0]]
    )


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
