"""Rows of the store for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bibench_deploy.results.row import HostFacts, Row
from bibench_deploy.runners.context import RunContext

MS = 1_000_000


def make_row(**facts: Any) -> Row:
    """A stable measurement of 10 ms, with some facts replaced."""
    defaults: dict[str, Any] = {
        "measured_at": datetime(2026, 11, 21, tzinfo=UTC),
        "tool": "0.1.0",
        "device": "local",
        "host": HostFacts(cpu="a processor", arch="aarch64", cores=4, system="Linux 6.1"),
        "engine": "larq",
        "versions": {"larq-compute-engine": "0.16.0"},
        "model": "resnet18",
        "variant": "bnn",
        "file": "resnet18.larq.tflite",
        "sha256": "b" * 64,
        "source_sha256": "0" * 64,
        "size_bytes": 1_000_000,
        "binary_ops": 19,
        "verified": True,
        "changes": [],
        "threads": 1,
        "kernel": "indirect",
        "context": RunContext(load_before=0.1, load_after=0.2),
        "warmup_runs": 3,
        "samples_ns": [10 * MS] * 30,
    }
    return Row(**(defaults | facts))
