"""How much a night tries again, and when it begins nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Patience:
    """How much is tried again; see ``plan.Retries``.

    Attributes:
        attempts: of a job.
        failures: of a device in a night, until it is left alone.
        pause_s: before a device that failed is tried again.
        night_ends: when nothing more is begun; None for no limit.
        device_s: of measuring on a device, after which nothing more is begun there; None for no limit.
    """

    attempts: int = 2
    failures: int = 3
    pause_s: float = 60.0
    night_ends: datetime | None = None
    device_s: float | None = None

    def spent(self, used_s: float) -> str | None:
        """Why nothing more is begun now; None while something may be.

        Args:
            used_s: how long was measured on the device.
        """
        if self.night_ends and datetime.now(self.night_ends.tzinfo) >= self.night_ends:
            return "the night's budget is used up: nothing more is begun"
        if self.device_s is not None and used_s >= self.device_s:
            return "the device's budget is used up: nothing more is begun on it"
        return None
