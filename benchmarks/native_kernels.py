"""Binary convolutions of the native engine against what the core can do at best; markdown on stdout.

    python benchmarks/native_kernels.py [--engine PATH] [--rounds N]

The ceiling is a loop of nothing but xor, popcount and add on registers, which bibench-run measures between the
layers in the same process. Kernels take turns, round after round; figures are medians over the rounds, with the
lowest and the highest. ``native.py`` compares whole networks with other libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

from suite import layers
from support import native_engine

SECTIONS = {
    "ResNet18's layers": layers.RESNET,
    "VGG-Small's layers": layers.VGG,
    "Over channels": layers.CHANNELS,
    "Over image size": layers.SIZES,
}


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
    engine = options.engine or native_engine.build(("-O3",))
    kernels = options.kernels or native_engine.kernels(engine)
    info = json.loads(subprocess.run([engine, "--info"], capture_output=True, check=True).stdout)
    print(
        f"# Binary 3×3 convolutions\n\n{info['cpu']}, {info['cores']} cores; load {os.getloadavg()[0]:.1f}."
    )
    print("The ceiling of several threads is that of one, times their number.")
    for title, shapes in SECTIONS.items():
        found = layers.measure([engine], shapes, kernels, options.threads, options.rounds)
        print(f"\n## {title}\n\n{layers.show(found)}")


if __name__ == "__main__":
    main()
