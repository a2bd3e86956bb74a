"""Single binary layers of the native engine against the popcount ceiling.

Layers are whole ones: multiplier, bias, residual add, clip, a float output and a bits output. Each is a model
of its own and measured warm; the ceiling is measured between its runs in the same process, so that a clock that
changes changes both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.bbm_files import BCONV, BINARY_FILTERS, BITS, MAP, BbmFile, binary_filters

from .bars import OF_POPCOUNT, Bar
from .markdown import table
from .statistics import interval


@dataclass(frozen=True)
class Layer:
    """A 3×3 convolution: a square map's size, channels in and out, stride."""

    size: int
    channels: int
    filters: int
    stride: int = 1

    def __str__(self) -> str:
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.size}×{self.size}×{self.channels} → {self.filters}{stride}"


@dataclass(frozen=True)
class Setting:
    """A layer with the kernels and the number of threads that execute it."""

    layer: Layer
    isa: str
    threads: int


@dataclass(frozen=True)
class Figures:
    """A layer in one round: µs, GMAC/s, percent of the ceiling (of one core, times the threads); ``best`` is the
    percentage of the fastest run alone."""

    us: float
    rate: float
    percent: float
    best: float


RESNET = [Layer(56, 64, 64), Layer(56, 64, 128, 2), Layer(28, 128, 128), Layer(28, 128, 256, 2),
          Layer(14, 256, 256), Layer(14, 256, 512, 2), Layer(7, 512, 512)]  # fmt: skip
VGG = [Layer(32, 128, 128), Layer(16, 256, 256), Layer(8, 512, 512)]
CHANNELS = [Layer(28, c, c) for c in (16, 32, 48, 64, 96, 128, 192, 256, 512, 1024)]
SIZES = [Layer(s, 128, 128) for s in (1, 2, 4, 7, 8, 14, 28, 56, 112)]


def model(layer: Layer) -> BbmFile:
    """A file that holds one layer behind the sign of its input."""
    f, rng = BbmFile(), np.random.default_rng(0)
    size, c, o, stride = layer.size, layer.channels, layer.filters, layer.stride
    out = (size - 1) // stride + 1
    x, s = f.tensor((1, size, size, c)), f.tensor((1, size, size, c), BITS)
    r, y, t = f.tensor((1, out, out, o)), f.tensor((1, out, out, o)), f.tensor((1, out, out, o), BITS)
    f.operator(MAP, {0: x, 9: f.channels(np.zeros(c))}, {1: s}, name="binarize")
    inputs = {
        0: s,
        1: f.constant(binary_filters(rng.choice([-1, 1], (o, c, 3, 3))), (o, 3, 3, c), BINARY_FILTERS),
        2: f.channels(np.full(o, 0.01)),
        3: f.channels(np.zeros(o)),
        5: r,
        9: f.channels(np.zeros(o)),
    }
    ints = {0: stride, 1: stride, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: 2}
    f.operator(BCONV, inputs, {0: y, 1: t}, ints, {0: 0.0, 1: -1.0, 2: 1.0}, name=str(layer))
    f.inputs += [x, r]
    f.outputs += [y]
    return f


def measure(
    command: Sequence[str | Path],
    layers: Sequence[Layer],
    isas: Sequence[str],
    threads: Sequence[int],
    rounds: int,
    seconds: float = 0.2,
    before_round: Callable[[], None] = lambda: None,
) -> dict[Setting, list[Figures]]:
    """All settings, once a round.

    Args:
        command: what starts ``bibench-run``.
        seconds: for one setting in a round.
        before_round: called before each.
    """
    settings = [Setting(layer, isa, count) for layer in layers for isa in isas for count in threads]
    found: dict[Setting, list[Figures]] = {setting: [] for setting in settings}
    with tempfile.TemporaryDirectory() as folder:
        files = {layer: model(layer).write(Path(folder) / f"{i}.bbm") for i, layer in enumerate(layers)}
        for _ in range(rounds):
            before_round()
            for setting in settings:
                found[setting].append(_run(command, files[setting.layer], setting, seconds))
    return found


def _run(command: Sequence[str | Path], file: Path, setting: Setting, seconds: float) -> Figures:
    options = ["--per-op", "--min-time", str(seconds), "--min-runs", "20", "--threads", str(setting.threads)]
    env = {**os.environ, "BIBENCH_ISA": setting.isa}
    done = subprocess.run([*command, file, *options], env=env, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    row = next(row for row in rows if row["opcode"] == "bconv")
    ns = float(row["median_ns"])
    percent = float(row["percent_of_ceiling"])
    return Figures(ns / 1e3, row["binary_macs"] / ns, percent, percent * ns / float(row["min_ns"]))


def show(found: dict[Setting, list[Figures]]) -> str:
    """A table: medians over the rounds, with the lowest and the highest."""
    rows = [
        (
            str(setting.layer),
            setting.isa,
            str(setting.threads),
            _spread([f.us for f in figures], 1),
            f"{np.median([f.rate for f in figures]):.0f}",
            _spread([f.percent for f in figures], 0),
            f"{max(f.best for f in figures):.0f}",
        )
        for setting, figures in sorted(found.items(), key=lambda item: (item[0].isa, item[0].threads))
    ]
    return table(
        ("3×3 layer", "kernel", "threads", "µs", "GMAC/s", "% of ceiling", "fastest run"), rows, left=2
    )


def bars(found: dict[Setting, list[Figures]], isa: str) -> list[Bar]:
    """The layer that comes least near the ceiling, for each class of channels; one thread. Pure."""
    result = []
    highest = float("inf")
    for channels, limit in OF_POPCOUNT.items():
        worst = {
            setting.layer: figures
            for setting, figures in found.items()
            if setting.isa == isa and setting.threads == 1 and channels <= setting.layer.channels < highest
        }
        most = "or more" if highest == float("inf") else f"to {highest:g}"
        highest = channels
        what = f"popcount ceiling, the worst 3×3 layer with {channels} {most} channels, {isa}"
        if not worst:
            result.append(Bar(what, None, "not asked for", limit, at_least=True, unit="%"))
            continue
        layer = min(worst, key=lambda key: float(np.median([f.percent for f in worst[key]])))
        percents = [f.percent for f in worst[layer]]
        low, high = interval(percents)
        value, best = float(np.median(percents)), max(f.best for f in worst[layer])
        shown = f"{value:.0f} ({low:.0f}–{high:.0f}), {best:.0f}: {layer}"
        result.append(Bar(what, value, shown, limit, at_least=True, unit="%", interval=(low, high)))
    return result


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"
