"""What the engines say of a graph, in codes."""

from __future__ import annotations

from bibench_deploy.converters.capabilities import load
from bibench_deploy.converters.deployability import Allowed, Assessment, assess
from bibench_deploy.graph import BinaryGraph

LARQ, DABNN, NATIVE = (load(engine) for engine in ("larq", "dabnn", "native"))
ENGINES = {"larq": LARQ, "dabnn": DABNN}


def codes(assessment: Assessment) -> list[str]:
    return [reason.code for reason in assessment.reasons]


def both(graph: BinaryGraph, allowed: Allowed = Allowed()) -> dict[str, list[str]]:  # noqa: B008
    return {name: codes(assess(graph, capabilities, allowed)) for name, capabilities in ENGINES.items()}
