"""One row of the store: one artefact, measured on one device with one thread count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID, uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.operators import Operator

SCHEMA: Final = 2

FULL_PRECISION = "fp32"

Positive = Annotated[int, Field(gt=0, lt=2**63)]
State = Literal["measured", "not_applicable"]
Statistic = Literal["samples", "aggregate"]
Verdict = Literal["stable", "unstable", "invalid"]


class HostFacts(BaseModel):
    """The machine that executed the artefact; see ``runners.host.Host``. Earlier rows know no clusters."""

    model_config = ConfigDict(frozen=True)
    cpu: str
    arch: str
    cores: int
    system: str
    clusters: list[int] = []


class Row(BaseModel):
    """Everything that a later reader needs to judge the samples, and the samples.

    A field that this version does not know is ignored, so that rows with further facts stay readable; a
    change of meaning gets a new ``schema_version``. What may be None is unknown then, never 0.

    Attributes:
        id: the row's name for ever: a row that is imported twice is one row.
        measured_at: when the measurement ended.
        session: what the rows of one call of ``profile`` have in common.
        block: what rows have in common whose turns were taken in rotation, the n-th of each in one round; None
            where that is not known.
        tool: version of bibench-deploy.
        device: id of the device; "local" for the machine itself.
        sha256, source_sha256: of the artefact, and of the ONNX model that it was made from.
        metadata: what the ONNX model says of itself, such as ``bibench.arch`` and ``bibench.accuracy``.
        inputs: shapes of the model's inputs, rows first, as the ONNX model has them.
        engine_sha256: of the engine's program.
        versions: of the engine and what was used to convert.
        changes: changes of function that the user allowed when the artefact was converted.
        verified: against its model, where it was converted; verified_on_device: where it was measured.
        cpus: the cores that were asked for ("big", "little", "all", "0-3").
        kernel: which of the engine's kernels ran; None where there is no choice (no binary operator).
        state: "not_applicable" where the engine can't do what was asked; ``reasons`` say why.
        statistic: "samples" where each latency is one run's; "aggregate" where each is a mean that the
            engine's own benchmark reported, so that nothing can be said of single runs.
        verdict: on the measurement; None where it was not judged when it was taken.
        reasons: what the verdict or the state rests on.
        warmup_runs: untimed runs before the first sample.
        samples_ns: latency of each run in ns, in the order of measuring.
        turns: number of runs of each turn, in their order; empty where nothing is known of turns.
        operators: the layers, each timed by itself beside the measurement; empty where nobody asked, or the engine
            does not tell.
    """

    model_config = ConfigDict(frozen=True)
    schema_version: Literal[2] = SCHEMA
    id: UUID = Field(default_factory=uuid4)
    measured_at: AwareDatetime
    session: str | None = None
    block: str | None = None
    tool: str
    device: str
    host: HostFacts
    engine: str
    engine_sha256: str | None = None
    versions: dict[str, str]
    model: str
    variant: str
    file: str
    sha256: str
    source_sha256: str
    metadata: dict[str, str] = {}
    inputs: list[list[int]] = []
    size_bytes: Positive
    binary_ops: int
    verified: bool
    verified_on_device: bool | None = None
    changes: list[str]
    threads: Positive
    cpus: str | None = None
    kernel: str | None
    state: State = "measured"
    statistic: Statistic = "samples"
    verdict: Verdict | None = None
    reasons: list[str] = []
    context: RunContext = RunContext()
    warmup_runs: int
    samples_ns: list[Positive]
    turns: list[Positive] = []
    operators: list[Operator] = []

    @property
    def architecture(self) -> str | None:
        """As the model names it."""
        return self.metadata.get("bibench.arch")

    @property
    def dataset(self) -> str | None:
        """What the model was trained on, as it says."""
        return self.metadata.get("bibench.dataset")

    @property
    def algorithm(self) -> str:
        """The variant; where it may be one of several ("dorefa|bireal"), the one that the model names."""
        named = self.metadata.get("bibench.algorithm")
        return named if named in self.variant.split("|") else self.variant

    @property
    def accuracy(self) -> float | None:
        """Of the trained binarized model, a fraction, as it says; so None for its fp32 twin."""
        try:
            found = float(self.metadata.get("bibench.accuracy", "nan"))
        except ValueError:
            return None
        return found if self.variant != FULL_PRECISION and 0 <= found <= 1 else None

    @model_validator(mode="after")
    def _samples_fit_the_state(self) -> Self:
        if self.state == "measured" and not self.samples_ns:
            raise ValueError("samples_ns: a measurement has at least one sample")
        if self.state == "not_applicable" and (self.samples_ns or not self.reasons):
            raise ValueError("state: what is not applicable has no samples but a reason")
        if self.turns and sum(self.turns) != len(self.samples_ns):
            raise ValueError("turns: they do not add up to the samples")
        return self


def upgraded(document: Mapping[str, Any], row_id: UUID) -> dict[str, Any]:
    """A document of schema 1 as one of today's.

    Args:
        row_id: schema 1 had none.
    """
    new = dict(document) | {"schema_version": SCHEMA, "id": row_id}
    context = {key: new.pop(key, None) for key in ("load_before", "load_after")}
    host = new.get("host")
    if isinstance(host, Mapping):
        context["governor"] = host.get("governor")
    return new | {"context": context}
