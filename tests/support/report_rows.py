"""Rows of a store that has everything a report shows, and names that try to break out of it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from bibench_deploy.results.row import HostFacts, Row
from bibench_deploy.runners.operators import Operator
from support.rows import MS, make_row

EVIL = "</script><b id=evil>\"x' & --><!--"
DAY = datetime(2026, 11, 21, tzinfo=UTC)
TURNS = [3] * 10
# Of an engine that tells all: a float layer, a binary one that waits for memory, one that does not, and a pool.
LAYERS = [
    Operator(name="stem", opcode="conv", median_ns=9e6, kind="float", macs=1.2e8, ceiling_gmacs=24.0,
             moved_bytes=3.8e6, read_gbs=3.5),
    Operator(name="deep", opcode="bconv", median_ns=2e5, kind="binary", macs=2.3e6, ceiling_gmacs=118.0,
             predicted_gmacs=128.0, moved_bytes=6e5, read_gbs=3.5),
    Operator(name="wide", opcode="bconv", median_ns=3e6, kind="binary", macs=2.3e8, ceiling_gmacs=118.0,
             predicted_gmacs=128.0, moved_bytes=1e5, read_gbs=3.5),
    Operator(name="pool", opcode="max_pool", median_ns=8e5, moved_bytes=4e6, read_gbs=3.5),
]  # fmt: skip


def row(device: str, variant: str, threads: int, median_ms: float, model: str = "net", **facts: Any) -> Row:
    """Thirty runs around a median; a quarter of a percent apart."""
    noise = random.Random(f"{device} {variant} {threads}")
    samples = [round(MS * median_ms * noise.uniform(0.9975, 1.0025)) for _ in range(30)]
    full = variant == "fp32"
    metadata = {"bibench.arch": "resnet18"} if model == "net" else {}
    accuracy = {} if full else {"bibench.accuracy": {"bnn": "0.60", "dorefa": "0.65"}.get(variant, "0.7")}
    defaults: dict[str, Any] = {
        "device": device,
        "host": HostFacts(cpu="Cortex-A72", arch="aarch64", cores=4, system="Linux 6.6"),
        "model": model if variant in ("bnn", "fp32") else f"{model}_{variant}",
        "variant": variant,
        "threads": threads,
        "metadata": metadata | accuracy,
        "size_bytes": 40_000_000 if full else 4_000_000,
        "samples_ns": samples,
        "turns": TURNS,
        "verdict": "stable",
        "measured_at": DAY + timedelta(minutes=threads),
    }
    return make_row(**(defaults | facts))


def everything() -> list[Row]:
    """Two chips (one of the paper's), two engines; an unstable, an invalid, an impossible and a hostile row."""
    rows = []
    for device, factor in (("rpi4", 1.0), ("own-board", 0.4)):
        for engine in ("larq", "native"):
            for threads in (1, 2, 4):
                for variant, ms, source in (
                    ("fp32", 400.0, "0"),
                    ("bnn", 60.0, "0"),
                    ("fp32", 400.0, "d"),
                    ("dorefa", 62.0, "d"),
                ):
                    latency = factor * ms / threads**0.8
                    told: dict[str, Any] = {"engine": engine, "source_sha256": 64 * source}
                    if (device, engine, threads, variant) == ("rpi4", "native", 1, "bnn"):
                        told["operators"] = LAYERS
                    rows.append(row(device, variant, threads, latency, **told))
    drifting = {"verdict": "unstable", "reasons": ["drifting (+6 % from the first turn to the last)"]}
    rows.append(row("rpi4", "reactnet", 1, 66, source_sha256="e" * 64, **drifting))
    rows.append(row("rpi4", "reactnet", 2, 30, source_sha256="e" * 64, verdict="invalid", reasons=["no"]))
    nothing = {"state": "not_applicable", "samples_ns": [], "turns": [], "verdict": None}
    rows.append(row("rpi4", "bnn", 8, 1, engine="dabnn", reasons=[f"because of {EVIL}"], **nothing))
    hostile = {"source_sha256": "f" * 64, "reasons": [EVIL], "verdict": "unstable", "engine": f"e{EVIL}"}
    rows.append(row(f"board {EVIL}", f"bnn{EVIL}", 1, 50, model=f"m {EVIL}", **hostile))
    return rows
