"""Binary convolutions of the native engine against what the core can do at best; markdown on stdout.

    python benchmarks/native_kernels.py [--engine PATH] [--rounds N]

The ceiling is a loop of nothing but xor, popcount and add on registers, which bibench-run measures between the
layers in the same process: a clock that changes changes both. Kernels take turns, round after round; figures are
medians over the rounds, with the lowest and the highest. Layers are whole ones: multiplier, bias, residual add,
clip, a float output and a bits output. Each is a model of its own and measured warm.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import native_engine
from support.bbm_files import BCONV, BINARY_FILTERS, BITS, MAP, BbmFile, binary_filters

#: (size, channels in, channels out, stride): ResNet18's, VGG-Small's, then one axis at a time.
RESNET = [(56, 64, 64, 1), (56, 64, 128, 2), (28, 128, 128, 1), (28, 128, 256, 2), (14, 256, 256, 1),
          (14, 256, 512, 2), (7, 512, 512, 1)]  # fmt: skip
VGG = [(32, 128, 128, 1), (16, 256, 256, 1), (8, 512, 512, 1)]
CHANNELS = [(28, c, c, 1) for c in (16, 32, 48, 64, 96, 128, 192, 256, 512, 1024)]
SIZES = [(s, 128, 128, 1) for s in (1, 2, 4, 7, 8, 14, 28, 56, 112)]


def add_layer(f: BbmFile, size: int, c: int, o: int, stride: int) -> None:
    rng = np.random.default_rng(0)
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
    f.operator(
        BCONV,
        inputs,
        {0: y, 1: t},
        ints,
        {0: 0.0, 1: -1.0, 2: 1.0},
        name=f"{size}×{size}×{c} → {o}" + (f", stride {stride}" if stride > 1 else ""),
    )
    f.inputs += [x, r]
    f.outputs += [y]


def run(engine: Path, model: Path, isa: str, threads: int) -> list[dict[str, Any]]:
    command = [engine, model, "--per-op", "--min-time", "0.2", "--min-runs", "20", "--threads", str(threads)]
    env = {**os.environ, "BIBENCH_ISA": isa}
    lines = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    return [row for row in map(json.loads, lines) if row["opcode"] == "bconv"]


def spread(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def section(title: str, shapes: list[tuple[int, int, int, int]], options: argparse.Namespace) -> None:
    samples: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        models = []
        for i, shape in enumerate(shapes):
            f = BbmFile()
            add_layer(f, *shape)
            models.append(f.write(Path(folder) / f"{i}.bbm"))
        for _ in range(options.rounds):
            for model in models:
                for isa in options.kernels:
                    for threads in options.threads:
                        for row in run(options.engine, model, isa, threads):
                            samples[isa, threads][str(row["name"])].append(row)
    print(f"\n## {title}\n\n| layer | kernel | threads | µs | GMAC/s | % of ceiling |")
    print("| --- | --- | --: | --: | --: | --: |")
    for (isa, threads), layers in samples.items():
        for name, rows in layers.items():
            us = [row["median_ns"] / 1e3 for row in rows]
            rate = statistics.median(row["binary_macs"] / row["median_ns"] for row in rows)
            percent = spread([row["percent_of_ceiling"] for row in rows])
            print(f"| {name} | {isa} | {threads} | {spread(us, 1)} | {rate:.0f} | {percent} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--engine", type=Path, help="bibench-run (default: built with the machine's compiler)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--kernels", type=lambda text: text.split(","), help="default: all of this CPU")
    options = parser.parse_args()
    options.engine = options.engine or native_engine.build(("-O3",))
    options.kernels = options.kernels or native_engine.kernels(options.engine)
    info = json.loads(subprocess.run([options.engine, "--info"], capture_output=True, check=True).stdout)
    print(
        f"# Binary 3×3 convolutions\n\n{info['cpu']}, {info['cores']} cores; load {os.getloadavg()[0]:.1f}."
    )
    print("The ceiling of several threads is that of one, times their number.")
    section("ResNet18's layers", RESNET, options)
    section("VGG-Small's layers", VGG, options)
    section("Over channels", CHANNELS, options)
    section("Over image size", SIZES, options)


if __name__ == "__main__":
    main()
