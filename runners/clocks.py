"""Clocks of cores as they were seen at several moments. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Look = Mapping[int, float]


def fastest_mhz(look: Look) -> float:
    """The clock of the fastest core, MHz, which is at work while others may idle; 0 where none is known."""
    return max(look.values(), default=0.0)


def of_cores(look: Look, cpus: Collection[int]) -> Look:
    """The clocks of some cores; of all where none are named."""
    return {core: mhz for core, mhz in look.items() if not cpus or core in cpus}


@dataclass(frozen=True)
class Looks:
    """What is kept of many looks at the same cores, MHz by number of the core.

    Cores clock down while they idle, and the system moves threads from core to core: the lowest clock of a core
    says nothing of those that were at work. A look does.

    Attributes:
        slowest, fastest: the looks at which the fastest core was slowest and fastest; empty where there was none.
    """

    slowest: Look = field(default_factory=dict)
    fastest: Look = field(default_factory=dict)

    def and_then(self, *looks: Look) -> Looks:
        """With further ones; an empty look tells nothing."""
        known = [look for look in (self.slowest, self.fastest, *looks) if look]
        return Looks(min(known, key=fastest_mhz), max(known, key=fastest_mhz)) if known else self
