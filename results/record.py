"""From a measurement to a row of the store."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from bibench_deploy.converters.manifest import Manifest
from bibench_deploy.runners.host import Host
from bibench_deploy.runners.measure import Measurement
from bibench_deploy.runners.verdict import judge

from .row import HostFacts, Row


def row_of(
    measurement: Measurement,
    manifest: Manifest,
    device: str,
    host: Host,
    now: datetime | None = None,
    **facts: Any,
) -> Row:
    """What was measured, with all that is needed to judge it later.

    Args:
        device: id of the device.
        now: when the measurement ended; the present by default.
        facts: further fields of ``Row``, such as ``session``, ``cpus`` or ``context``.

    Raises:
        TypeError: a fact that is no field of ``Row``.
    """
    verdict = judge(measurement.turns_ns, measurement.context, host.cores, measurement.precision)
    return Row(
        **_identity(manifest, device, host, now)
        | {
            "threads": measurement.job.threads,
            "kernel": measurement.kernel,
            "warmup_runs": measurement.warmup_runs,
            "samples_ns": list(measurement.samples_ns),
            "turns": [len(turn) for turn in measurement.turns_ns],
            "block": measurement.block,
            "context": measurement.context,
            "verdict": verdict.word,
            "reasons": list(verdict.reasons),
        }
        | _known(facts)
    )


def not_applicable(
    threads: int,
    manifest: Manifest,
    device: str,
    host: Host,
    reason: str,
    now: datetime | None = None,
    **facts: Any,
) -> Row:
    """What an engine can't do at all, such as a second thread: no latency, and why."""
    return Row(
        **_identity(manifest, device, host, now)
        | {"threads": threads, "kernel": None, "warmup_runs": 0, "samples_ns": []}
        | {"state": "not_applicable", "reasons": [reason]}
        | _known(facts)
    )


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    # A row ignores what it does not know, so that it can read newer ones: here that would lose a fact.
    unknown = sorted(set(facts) - set(Row.model_fields))
    if unknown:
        raise TypeError(f"a row has no {', '.join(unknown)}")
    return facts


def _identity(manifest: Manifest, device: str, host: Host, now: datetime | None) -> dict[str, Any]:
    machine = asdict(host)
    machine.pop("governor")  # a condition of the run, not a fact of the machine
    return {
        "measured_at": now or datetime.now(UTC),
        "tool": version("bibench-deploy"),
        "device": device,
        "host": HostFacts(**machine),
        "engine": manifest.engine,
        "versions": manifest.versions,
        "model": manifest.model,
        "variant": manifest.variant,
        "file": manifest.file,
        "sha256": manifest.sha256,
        "source_sha256": manifest.source.sha256,
        "metadata": dict(manifest.source.metadata),
        "inputs": [tensor.shape for tensor in manifest.inputs],
        "size_bytes": manifest.size_bytes,
        "binary_ops": manifest.binary_ops,
        "verified": manifest.verified,
        "changes": list(manifest.changes),
    }
