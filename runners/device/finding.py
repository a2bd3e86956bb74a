"""What was found out about a device, in words for its user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``impossible``: no run can succeed; ``warning``: a measurement would be spoiled, or is not what it seems;
#: ``note``: worth knowing.
Severity = Literal["impossible", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One of them.

    Attributes:
        code: stable name for programs.
        what: what was seen.
        why: what it does to a run or a measurement.
        remedy: what the user can do.
    """

    severity: Severity
    code: str
    what: str
    why: str
    remedy: str
