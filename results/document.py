"""A report as the JSON document of ``profile --json``: fields may be added, never renamed."""

from __future__ import annotations

from typing import Any

from bibench_deploy.metrics import HardwareMetric
from bibench_deploy.runners.timing import summarise

from .conditions import apart
from .operator_tables import operator_documents
from .report import Comparison, Line, Report, Uncompared
from .row import Row
from .scaling import Sweep, efficiencies, sweeps


def document(report: Report) -> dict[str, Any]:
    """The document; times in ms, sizes in bytes. What is not applicable stands after what was measured."""
    found = sweeps(report.lines)
    efficiency = efficiencies(found)
    unlike = apart(report.lines)
    lines = [
        _line(line)
        | {
            "parallel_efficiency": efficiency.get(line.row.id),
            "other_condition": list(unlike.get(line.row.id, ())),
        }
        for line in report.lines
    ]
    return {
        "rows": [*lines, *map(_not_applicable, report.not_applicable)],
        "sweeps": [_sweep(sweep) for sweep in found],
        "metrics": [_metric(comparison) for comparison in report.comparisons],
        "not_compared": [_uncompared(pair) for pair in report.uncompared],
        "overall": metric_document(report.overall) if report.overall else None,
    }


def row_document(row: Row) -> dict[str, Any]:
    """One row as it stands in ``document``."""
    return _line(Line(row, summarise(row.samples_ns))) if row.state == "measured" else _not_applicable(row)


def _line(line: Line) -> dict[str, Any]:
    summary = line.summary
    figures = {
        "median_ms": summary.median_ms,
        "p10_ms": summary.p10_ms,
        "p90_ms": summary.p90_ms,
        "runs": summary.runs,
        "verdict": line.verdict,
        "oversubscribed": line.oversubscribed,
    }
    return _row(line.row, figures)


def _not_applicable(row: Row) -> dict[str, Any]:
    figures = {
        "median_ms": None,
        "p10_ms": None,
        "p90_ms": None,
        "runs": 0,
        "verdict": f"not applicable: {', '.join(row.reasons)}",
        "oversubscribed": False,
    }
    return _row(row, figures)


def _row(row: Row, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "session": row.session,
        "device": row.device,
        "engine": row.engine,
        "model": row.model,
        "architecture": row.architecture,
        "algorithm": row.algorithm,
        "accuracy": row.accuracy,
        "variant": row.variant,
        "threads": row.threads,
        "cpus": row.cpus,
        "state": row.state,
        "statistic": row.statistic,
        **figures,
        "size_bytes": row.size_bytes,
        "kernel": row.kernel,
        "cpu": row.host.cpu,
        "cores": row.host.cores,
        "binary_ops": row.binary_ops,
        "operators": operator_documents(row.operators),
        "verified": row.verified,
        "verified_on_device": row.verified_on_device,
        "changes": row.changes,
        "file": row.file,
        "sha256": row.sha256,
        "engine_sha256": row.engine_sha256,
        "measured_at": row.measured_at.isoformat(),
        "context": row.context.model_dump(mode="json"),
    }


def _sweep(sweep: Sweep) -> dict[str, Any]:
    row = sweep.row
    return {
        "device": row.device,
        "engine": row.engine,
        "model": row.model,
        "variant": row.variant,
        "cpus": row.cpus,
        "threads": list(sweep.lines),
        "parallel_efficiency": [sweep.efficiency.get(threads) for threads in sweep.lines],
        "oversubscribed": [threads for threads, line in sweep.lines.items() if line.oversubscribed],
        "knee": sweep.knee,
        "little_cores_from": sweep.crossing,
        "stable": sweep.stable,
    }


def _of(row: Row) -> dict[str, Any]:
    return {
        "device": row.device,
        "engine": row.engine,
        "model": row.model,
        "variant": row.variant,
        "threads": row.threads,
    }


def _uncompared(pair: Uncompared) -> dict[str, Any]:
    return _of(pair.binarized.row) | {"why": list(pair.why)}


def _metric(comparison: Comparison) -> dict[str, Any]:
    row, interval = comparison.binarized.row, comparison.interval
    return {
        **_of(row),
        **_values(comparison.metric),
        "speedup_interval": [interval.low, interval.high] if interval else None,
        "stable": comparison.stable,
        "oversubscribed": comparison.binarized.oversubscribed,
        "verified": row.verified,
        "changes": row.changes,
    }


def metric_document(metric: HardwareMetric) -> dict[str, Any]:
    """A mean over pairs."""
    return _values(metric) | {"pairs": metric.pairs}


def _values(metric: HardwareMetric) -> dict[str, Any]:
    return {
        "speedup": metric.speedup,
        "compression": metric.compression,
        "hardware_metric": metric.overall,
    }
