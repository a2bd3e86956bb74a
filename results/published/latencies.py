"""The paper's measured latencies: Tables 17–20 of BiBench (Qin et al., ICML 2023)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

FILE = "bibench_hardware_latency_ms.csv"
SOURCE = "BiBench (Qin et al., ICML 2023), Tables 17–20"
#: "BNN and DoReFa have [...] the exact same true computation efficiency when deployed" (BiBench, section
#: 5.2.3): the paper measures one network for all algorithms whose factors fold into the normalization.
SAME_AS_BNN = ("bnn", "dorefa", "bireal", "recu", "fda")


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
    return {
        replace(one, device=plain(one.device), architecture=plain(one.architecture)): latency
        for one, latency in printed_ms().items()
    }


@cache
def printed_ms() -> Mapping[Condition, float]:
    """All that the paper prints, in its order and with its names."""
    text = (files(__package__) / FILE).read_text(encoding="utf-8")
    return {
        Condition(
            line["device"], int(line["threads"]), line["architecture"], line["library"], line["variant"]
        ): float(line["latency_ms"])
        for line in csv.DictReader(text.splitlines())
    }


def measured_variant(algorithm: str) -> str:
    """The variant whose latency the paper prints for an algorithm."""
    return "bnn" if algorithm in SAME_AS_BNN else algorithm


def plain(name: str) -> str:
    """A name without what spellings differ in: ``VGG-Small`` and ``vgg_small`` are one architecture."""
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "+")
