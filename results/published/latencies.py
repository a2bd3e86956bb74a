"""The paper's measured latencies: Tables 17–20 of BiBench (Qin et al., ICML 2023)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FILE = "bibench_hardware_latency_ms.csv"
SOURCE = "BiBench (Qin et al., ICML 2023), Tables 17–20"


@dataclass(frozen=True)
class Condition:
    """What one of the paper's latencies is of.

    Attributes:
        device, architecture: as the paper prints them; ``plain`` makes them comparable.
    """

    device: str
    threads: int
    architecture: str
    engine: str
    variant: str


@cache
def latencies_ms() -> Mapping[Condition, float]:
    """All that the paper prints; device and architecture in their plain form."""
    text = (files(__package__) / FILE).read_text(encoding="utf-8")
    return {
        Condition(
            plain(line["device"]),
            int(line["threads"]),
            plain(line["architecture"]),
            line["library"],
            line["variant"],
        ): float(line["latency_ms"])
        for line in csv.DictReader(text.splitlines())
    }


def plain(name: str) -> str:
    """A name without what spellings differ in: ``VGG-Small`` and ``vgg_small`` are one architecture."""
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "+")
