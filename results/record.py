"""From a measurement to a row of the store."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version

from bibench_deploy.converters.manifest import Manifest
from bibench_deploy.runners.host import Host
from bibench_deploy.runners.measure import Measurement

from .row import HostFacts, Row


def row_of(
    measurement: Measurement, manifest: Manifest, device: str, host: Host, now: datetime | None = None
) -> Row:
    """What was measured, with all that is needed to judge it later.

    Args:
        device: id of the device.
        now: when the measurement ended; the present by default.
    """
    return Row(
        measured_at=now or datetime.now(UTC),
        tool=version("bibench-deploy"),
        device=device,
        host=HostFacts(**asdict(host)),
        engine=manifest.engine,
        versions=manifest.versions,
        model=manifest.model,
        variant=manifest.variant,
        file=manifest.file,
        sha256=manifest.sha256,
        source_sha256=manifest.source.sha256,
        size_bytes=manifest.size_bytes,
        binary_ops=manifest.binary_ops,
        verified=manifest.verified,
        changes=list(manifest.changes),
        threads=measurement.job.threads,
        kernel=measurement.kernel,
        load_before=measurement.load_before,
        load_after=measurement.load_after,
        warmup_runs=measurement.warmup_runs,
        samples_ns=list(measurement.samples_ns),
    )
