"""What became of one job of a night, and what that means for the exit code. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from bibench_deploy.errors import (
    BibenchError,
    ConversionError,
    NotDeployableError,
    VerificationError,
    in_a_line,
)

if TYPE_CHECKING:
    from bibench_deploy.results import Row

#: Device, engine, model, variant, threads, cores that were asked for.
Key = tuple[str, str, str, str, int, str | None]


def key_of(row: Row) -> Key:
    """Which job a row is of, over the nights."""
    return row.device, row.engine, row.model, row.variant, row.threads, row.cpus


class Status(StrEnum):
    """What became of one job.

    ``SUSPECT`` is slower, and was not measured again: the state between ``judge`` and ``confirmed``, and at the end
    of a night that of a suspicion that nobody could look into.
    """

    SAME = "same"
    FASTER = "faster"
    NEW = "new"
    UNJUDGED = "unjudged"
    UNCONFIRMED = "unconfirmed"
    NOT_APPLICABLE = "not applicable"
    # regressions
    SLOWER = "slower"
    LARGER = "larger"
    FLOAT = "float"
    OTHERWISE = "otherwise"
    UNCONVERTED = "not converted"
    LOST = "no longer applicable"
    # infrastructure
    SUSPECT = "suspect"
    DEVICE_SLOWER = "device slower"
    INCOMPARABLE = "incomparable"
    UNUSABLE = "unusable"
    MISSING = "missing"


REGRESSIONS = frozenset(
    {Status.SLOWER, Status.LARGER, Status.FLOAT, Status.OTHERWISE, Status.UNCONVERTED, Status.LOST}
)
#: Nothing is known of the model then: it was not measured, or not under conditions that allow to judge it.
INFRASTRUCTURE = frozenset(
    {Status.SUSPECT, Status.DEVICE_SLOWER, Status.INCOMPARABLE, Status.UNUSABLE, Status.MISSING}
)


class Why(StrEnum):
    """Why a job has no row."""

    REFUSED = "refused"
    CONVERSION = "conversion"
    OTHERWISE = "otherwise"
    INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True)
class Unmeasured:
    """A job without a row.

    Attributes:
        why: ``REFUSED`` the engine can't do it, and the tool said so; ``CONVERSION`` converting it failed;
            ``OTHERWISE`` the device computes something else; ``INFRASTRUCTURE`` anything else.
    """

    why: Why
    words: str

    @classmethod
    def of(cls, error: BibenchError) -> Self:
        """What an error means that converting or measuring ended with."""
        kinds = (
            (NotDeployableError, Why.REFUSED),
            (ConversionError, Why.CONVERSION),
            (VerificationError, Why.OTHERWISE),
        )
        why = next((why for kind, why in kinds if isinstance(error, kind)), Why.INFRASTRUCTURE)
        return cls(why, in_a_line(error))

    @property
    def said(self) -> str:
        """As one text, for a store; ``parse`` reads it back."""
        return f"{self.why}: {self.words}"

    @classmethod
    def parse(cls, said: str) -> Self:
        """From ``said``; any other text is infrastructure."""
        why, _, words = said.partition(": ")
        return cls(Why(why), words) if why in set(Why) else cls(Why.INFRASTRUCTURE, said)


@dataclass(frozen=True)
class Began:
    """The night that a level began in.

    Attributes:
        commit: None where it is unknown.
    """

    night: str
    commit: str | None

    def __str__(self) -> str:
        return f"{self.night} ({self.commit[:7]})" if self.commit else self.night


@dataclass(frozen=True)
class Finding:
    """What became of one job, in words.

    Attributes:
        ratio: tonight's median over the baseline's (for ``LARGER`` of the sizes); None where one is missing.
        row: tonight's; None where nothing was measured.
        baseline: the rows that tonight's was judged against, oldest first; the last of them is the one that a
            suspicion is confirmed against.
        needed: ratio from which it would count as slower.
        since: when the level began that is told of.
        besides: for ``SUSPECT``, what is true whatever comes of it: the artefact is larger, too.
    """

    key: Key
    status: Status
    words: str
    ratio: float | None = None
    row: Row | None = None
    baseline: tuple[Row, ...] = ()
    needed: float | None = None
    since: Began | None = None
    besides: Finding | None = None


def suspects(findings: Iterable[Finding]) -> list[Finding]:
    """Those that have to be measured again before the night is over."""
    return [finding for finding in findings if finding.status is Status.SUSPECT]


def exit_code(statuses: Sequence[Status]) -> int:
    """0 nothing got worse, 1 something did, 3 something (or everything) was not measured, or not comparably."""
    if any(status in REGRESSIONS for status in statuses):
        return 1
    told = [status for status in statuses if status is not Status.NOT_APPLICABLE]
    return 0 if told and not any(status in INFRASTRUCTURE for status in told) else 3
