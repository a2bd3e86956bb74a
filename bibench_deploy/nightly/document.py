"""A night as one document: what the store keeps of it, what ``--json`` prints, and what all reports are made of.

Fields may be added, never renamed. Whoever reads a stored night (the history, a second start of a night that is
complete) finds everything here: no row is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from bibench_deploy.runners.timing import NS_PER_MS

from .finding import INFRASTRUCTURE, REGRESSIONS, Began, Finding, Status, exit_code
from .levels import row_turns

if TYPE_CHECKING:
    from bibench_deploy.results import Row
    from bibench_deploy.results.nights import Night

Kind = Literal["regression", "infrastructure", "faster", "unchanged", "none"]
Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Since(_Part):
    """The night that a level began in."""

    night: str
    commit: str | None = None

    def __str__(self) -> str:
        return str(Began(self.night, self.commit))


class Told(_Part):
    """One finding; see ``finding.Finding``.

    Attributes:
        kind: what its status amounts to: "none" where there is nothing to say of a change.
        ratio: tonight's median over the baseline's (of the sizes for ``larger``).
        median_ms, baseline_ms: of the medians of the turns; the baseline's over its nights.
        verdict: on tonight's measurement.
        row, baseline_rows: ids of rows in the store.
    """

    device: str
    engine: str
    model: str
    variant: str
    threads: int
    cpus: str | None = None
    status: Status
    kind: Kind
    words: str
    ratio: Positive | None = None
    since: Since | None = None
    median_ms: Positive | None = None
    baseline_ms: Positive | None = None
    measured_s: float = 0.0
    size_bytes: int | None = None
    sha256: str | None = None
    engine_sha256: str | None = None
    verdict: str | None = None
    row: UUID | None = None
    baseline_rows: tuple[UUID, ...] = ()

    @property
    def what(self) -> str:
        """The job on its device."""
        return f"{self.model} {self.variant} ({self.how})"

    @property
    def how(self) -> str:
        """Engine, threads, cores."""
        cores = f", {self.cpus}" if self.cpus else ""
        return f"{self.engine}, {self.threads} thread{'' if self.threads == 1 else 's'}{cores}"


class Ill(_Part):
    """A device that failed in the night.

    Attributes:
        failures: how often.
        quarantined: whether it was given up for the night.
        words: how it failed last.
    """

    device: str
    failures: int
    quarantined: bool
    words: str


class NightReport(_Part):
    """All that is told of a night.

    Attributes:
        tool: version of bibench-deploy.
        baseline: what it was judged against, in words.
        devices: those that failed, even if they recovered.
    """

    format: Literal[1] = 1
    tool: str
    plan: str
    night: str
    commit: str | None = None
    host: str
    started_at: datetime
    finished_at: datetime
    baseline: str
    findings: tuple[Told, ...]
    devices: tuple[Ill, ...] = ()

    @classmethod
    def of(
        cls,
        night: Night,
        findings: Iterable[Finding],
        devices: Iterable[Ill],
        baseline: str,
        finished_at: datetime,
    ) -> Self:
        """The report of a night that ends now."""
        from importlib.metadata import version

        return cls(
            tool=version("bibench-deploy"),
            plan=night.plan,
            night=night.name,
            commit=night.commit,
            host=night.host,
            started_at=night.started_at,
            finished_at=finished_at,
            baseline=baseline,
            findings=tuple(_told(finding) for finding in findings),
            devices=tuple(devices),
        )

    @property
    def exit_code(self) -> int:
        """As ``finding.exit_code``."""
        return exit_code([told.status for told in self.findings])

    @property
    def measured(self) -> int:
        """Jobs that have a row with samples."""
        return sum(told.median_ms is not None for told in self.findings)

    def of_kind(self, kind: Kind) -> list[Told]:
        """Findings of a kind, the slowest first."""
        found = [told for told in self.findings if told.kind == kind]
        return sorted(found, key=lambda told: -(told.ratio or 0))

    def document(self) -> dict[str, Any]:
        """As JSON can hold it; ``NightReport.model_validate`` reads it back."""
        from .telling import headline

        counts = Counter(told.status for told in self.findings)
        told = {
            "exit_code": self.exit_code,
            "headline": headline(self),
            "counts": {str(status): counts[status] for status in Status if counts[status]},
        }
        return self.model_dump(mode="json") | told


def kind_of(status: Status) -> Kind:
    """What a status amounts to."""
    if status in REGRESSIONS:
        return "regression"
    if status in INFRASTRUCTURE:
        return "infrastructure"
    if status is Status.FASTER:
        return "faster"
    return "unchanged" if status in (Status.SAME, Status.UNCONFIRMED) else "none"


def _told(finding: Finding) -> Told:
    device, engine, model, variant, threads, cpus = finding.key
    row = finding.row
    facts: dict[str, Any] = {}
    if row is not None:
        facts = {
            "row": row.id,
            "verdict": row.verdict,
            "size_bytes": row.size_bytes,
            "sha256": row.sha256,
            "engine_sha256": row.engine_sha256,
            "median_ms": _median_ms([row]),
            "measured_s": sum(row.samples_ns) / 1e9,
        }
    return Told(
        device=device,
        engine=engine,
        model=model,
        variant=variant,
        threads=threads,
        cpus=cpus,
        status=finding.status,
        kind=kind_of(finding.status),
        words=finding.words,
        ratio=finding.ratio,
        since=Since(night=finding.since.night, commit=finding.since.commit) if finding.since else None,
        baseline_ms=_median_ms(finding.baseline),
        baseline_rows=tuple(row.id for row in finding.baseline),
        **facts,
    )


def _median_ms(rows: Sequence[Row]) -> float | None:
    centres = [median(row_turns(row)) for row in rows if row.samples_ns]
    return median(centres) / NS_PER_MS if centres else None
