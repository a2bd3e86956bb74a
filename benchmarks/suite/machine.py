"""The machine, and what else it did while it measured: figures mean nothing without."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

#: Share of the cores that others may use before a round counts as disturbed.
QUIET = 0.05
#: How long the machine is looked at while this program does nothing, in seconds.
LOOK_SECONDS = 0.3
_IDLE, _IOWAIT = 3, 4


def busy_share(before: str, after: str) -> float:
    """Share of the cores' time that was used, from two readings of ``/proc/stat``.

    Time that the hypervisor gave to others ("steal") counts as used.
    """
    first, last = (np.array(text.split("\n", 1)[0].split()[1:9], float) for text in (before, after))
    spent = last - first
    if spent.sum() <= 0:
        return 0.0
    return float(1 - (spent[_IDLE] + spent[_IOWAIT]) / spent.sum())


@dataclass
class Watch:
    """Looks at the machine before each round, while this program rests.

    Attributes:
        patience: how long to wait for a quiet moment, in seconds.
        others: share of the cores that others used, one figure a round.
        loads: load average over a minute at the same times; it counts this program's own work too.
    """

    patience: float = 0.0
    others: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    stat: Path = Path("/proc/stat")

    def before_round(self) -> None:
        """Wait for a quiet moment as long as patience allows, and note how quiet it was."""
        deadline = time.monotonic() + self.patience
        share = self._look()
        while share > QUIET and time.monotonic() < deadline:
            share = self._look()
        self.others.append(share)
        self.loads.append(os.getloadavg()[0])

    def _look(self) -> float:
        if not self.stat.is_file():  # only Linux tells
            return float("nan")
        before = self.stat.read_text(encoding="ascii")
        time.sleep(LOOK_SECONDS)
        return busy_share(before, self.stat.read_text(encoding="ascii"))

    def summary(self) -> str:
        """What others did, in words."""
        if not self.others:
            return "Nothing was measured in rounds."
        others, loads = 100 * np.array(self.others), np.array(self.loads)
        loud = int((others > 100 * QUIET).sum())
        return (
            f"Load average {loads.min():.1f}–{loads.max():.1f} (with this program's own work). Looked at for "
            f"{LOOK_SECONDS} s before each of the {len(others)} rounds, others used {np.median(others):.0f} % "
            f"of the cores' time in the median and {others.max():.0f} % at most; more than {100 * QUIET:.0f} % "
            f"before {loud} rounds."
        )

    @property
    def disturbed(self) -> bool:
        """Whether others used the machine before more than a quarter of the rounds."""
        return sum(share > QUIET for share in self.others) > len(self.others) / 4
