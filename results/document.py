"""A report as the JSON document of ``profile --json``: fields may be added, never renamed."""

from __future__ import annotations

from typing import Any

from bibench_deploy.metrics import HardwareMetric

from .report import Comparison, Line, Report


def document(report: Report) -> dict[str, Any]:
    """The document; times in ms, sizes in bytes."""
    return {
        "rows": [_row(line) for line in report.lines],
        "metrics": [_metric(comparison) for comparison in report.comparisons],
        "overall": _values(report.overall) | {"pairs": report.overall.pairs} if report.overall else None,
    }


def _row(line: Line) -> dict[str, Any]:
    row, summary = line.row, line.summary
    return {
        "device": row.device,
        "engine": row.engine,
        "model": row.model,
        "variant": row.variant,
        "threads": row.threads,
        "median_ms": summary.median_ms,
        "p10_ms": summary.p10_ms,
        "p90_ms": summary.p90_ms,
        "runs": summary.runs,
        "size_bytes": row.size_bytes,
        "verdict": summary.verdict,
        "kernel": row.kernel,
        "cpu": row.host.cpu,
        "cores": row.host.cores,
        "oversubscribed": line.oversubscribed,
        "binary_ops": row.binary_ops,
        "verified": row.verified,
        "changes": row.changes,
        "file": row.file,
        "sha256": row.sha256,
        "measured_at": row.measured_at.isoformat(),
    }


def _metric(comparison: Comparison) -> dict[str, Any]:
    row = comparison.binarized.row
    return {
        "device": row.device,
        "engine": row.engine,
        "model": row.model,
        "variant": row.variant,
        "threads": row.threads,
        **_values(comparison.metric),
        "stable": comparison.stable,
        "oversubscribed": comparison.binarized.oversubscribed,
        "verified": row.verified,
        "changes": row.changes,
    }


def _values(metric: HardwareMetric) -> dict[str, Any]:
    return {
        "speedup": metric.speedup,
        "compression": metric.compression,
        "hardware_metric": metric.overall,
    }
