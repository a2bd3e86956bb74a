"""One row of the store: one artefact, measured on one device with one thread count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA = 1

Positive = Annotated[int, Field(gt=0)]


class HostFacts(BaseModel):
    """The machine that executed the artefact; see ``runners.host.Host``."""

    model_config = ConfigDict(frozen=True)
    cpu: str
    arch: str
    cores: int
    system: str
    governor: str | None = None


class Row(BaseModel):
    """Everything that a later reader needs to judge the samples, and the samples.

    A field that this version does not know is ignored, so that rows with further facts stay readable; a
    change of meaning gets a new ``schema_version``.

    Attributes:
        measured_at: when the measurement ended.
        tool: version of bibench-deploy.
        device: id of the device; "local" for the machine itself.
        sha256, source_sha256: of the artefact, and of the ONNX model that it was made from.
        versions: of the engine and what was used to convert.
        changes: changes of function that the user allowed when the artefact was converted.
        kernel: which of the engine's kernels ran; None where there is no choice (no binary operator).
        load_before, load_after: load average over a minute, where the system has one.
        warmup_runs: untimed runs before the first sample.
        samples_ns: latency of each run in ns, in the order of measuring.
    """

    model_config = ConfigDict(frozen=True)
    schema_version: Literal[1] = 1
    measured_at: AwareDatetime
    tool: str
    device: str
    host: HostFacts
    engine: str
    versions: dict[str, str]
    model: str
    variant: str
    file: str
    sha256: str
    source_sha256: str
    size_bytes: Positive
    binary_ops: int
    verified: bool
    changes: list[str]
    threads: Positive
    kernel: str | None
    load_before: float | None
    load_after: float | None
    warmup_runs: int
    samples_ns: Annotated[list[Positive], Field(min_length=1)]
