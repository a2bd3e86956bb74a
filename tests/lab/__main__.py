"""A lab by hand: ``PYTHONPATH=tests .venv/bin/python -m lab up``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from .board import PHONE, RPI3, RPI4, RPI5
from .lab import Lab
from .machine import CannotSimulateError
from .setup import Setup

KINDS = {
    "rpi4": Setup(board=RPI4),
    "rpi3": Setup(board=RPI3),
    "rpi5": Setup(board=RPI5),
    "phone": Setup(board=PHONE, termux=True),
    "linux": Setup(),
}
PROFILES = {"rpi4": "rpi4", "rpi3": "rpi3", "rpi5": "rpi5", "phone": "kirin990", "linux": "generic-x86_64"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Simulated devices on this machine.")
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up", help="switch devices on until Ctrl-C")
    up.add_argument("--devices", type=int, default=1, metavar="N", help="so many (default 1)")
    up.add_argument("--kind", choices=KINDS, default="rpi4", help="what they are (default rpi4)")
    up.add_argument("--network", action="store_true", help="each with a network of its own (root)")
    up.add_argument(
        "--folder", type=Path, help="where inventory, keys and logs go (default: a new one in /tmp)"
    )
    options = parser.parse_args()
    try:
        return _up(options.devices, options.kind, options.network, options.folder)
    except CannotSimulateError as reason:
        print(f"This machine cannot: the lab {reason}.", file=sys.stderr)
        return 3


def _up(count: int, kind: str, network: bool, folder: Path | None) -> int:
    setup = (
        KINDS[kind]
        if not network
        else Setup(board=KINDS[kind].board, termux=KINDS[kind].termux, network=True)
    )
    names = [kind, *(f"{kind}-{number}" for number in range(2, count + 1))][:count]
    with Lab(folder or Path(tempfile.mkdtemp(prefix="bibench-lab-"))) as lab:
        lab.add_all(dict.fromkeys(names, setup), profile=PROFILES[kind], tags=["lab"])
        print(f"on: {' '.join(names)}")
        print(f"  bibench-deploy profile --inventory {lab.inventory} --device {','.join(names)} …")
        print(f"  ssh -F {lab.ssh_config} {names[0]}")
        print(f"logs: {lab.folder}/<device>/log. Ctrl-C switches off.", flush=True)
        for ending in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell lets background jobs ignore it
            signal.signal(ending, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("off")
    return 0


if __name__ == "__main__":
    sys.exit(main())
