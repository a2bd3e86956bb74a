"""Can an engine execute this model and compute the same function? Graph × capabilities → verdict; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from bibench_deploy.errors import InputError
from bibench_deploy.graph import BinaryGraph, BinaryLayer

from .binary_rules import binary_findings, is_part_of_binary_layer
from .capabilities import Capabilities
from .findings import Allowed, Change, Context, Finding, Note, Reason, shape
from .operator_rules import operator_findings

__all__ = ["Allowed", "Assessment", "Change", "Note", "Reason", "Verdict", "assess", "parse_allow"]

Verdict = Literal["deployable", "changes_function", "not_deployable", "planned"]


@dataclass(frozen=True)
class Assessment:
    """What ``check`` answers for one engine.

    Attributes:
        verdict: ``deployable``: the engine computes the same function (but for ``changes``, which the
            user allowed); ``changes_function``: it could, if the user allowed what the reasons name;
            ``not_deployable``: it can't; ``planned``: the engine doesn't exist yet.
        reasons: what stands in the way, in the graph's order; empty when deployable.
        notes: what doesn't, but is worth knowing.
        changes: changes of function that were allowed and will be made.
    """

    engine: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    notes: tuple[Note, ...] = ()
    changes: tuple[Change, ...] = ()


def assess(graph: BinaryGraph, capabilities: Capabilities, allowed: Allowed = Allowed()) -> Assessment:  # noqa: B008
    """Judge a fused graph for one engine."""
    if capabilities.status == "planned":
        note = Note("", "", "planned", f"{capabilities.title} comes with a later version")
        return Assessment(capabilities.engine, "planned", (), (note,))
    layer_of = {node: layer.name for layer in graph.layers for node in layer.nodes}
    context = Context(graph, capabilities, allowed, layer_of)
    findings = list(dict.fromkeys(_findings(context)))  # two layers may share a sign
    reasons = tuple(finding for finding in findings if isinstance(finding, Reason))
    return Assessment(
        capabilities.engine,
        verdict(reasons),
        reasons,
        tuple(finding for finding in findings if isinstance(finding, Note)),
        tuple(finding for finding in findings if isinstance(finding, Change)),
    )


def verdict(reasons: Iterable[Reason]) -> Verdict:
    """The verdict that follows from what stands in the way: one reason without an ``allow`` decides."""
    allows = [reason.allow for reason in reasons]
    if not allows:
        return "deployable"
    return "changes_function" if all(allows) else "not_deployable"


def _findings(context: Context) -> Iterator[Finding]:
    yield from _model(context)
    layers = {layer.node: layer for layer in context.graph.binary_layers}
    takes_factors = "input" in context.capabilities.factors.granularity
    factors = set() if takes_factors else runtime_factor_nodes(layers)
    for node in context.graph.model.graph:
        if node in layers:
            yield from binary_findings(layers[node], context)
        elif not is_part_of_binary_layer(node) and node not in factors:
            yield from operator_findings(node, context)


def runtime_factor_nodes(layers: Mapping[ir.Node, BinaryLayer]) -> set[ir.Node]:
    """What only computes and applies run-time factors: refused with its layer, not by operator too."""
    found: set[ir.Node] = set()
    for node, layer in layers.items():
        if layer.scale == "input":
            for user, _ in node.outputs[0].uses():
                if user.op_type == "Mul":
                    found |= {user, *(_ancestors(user) - _ancestors(node) - {node})}
    return found


def _ancestors(node: ir.Node) -> set[ir.Node]:
    found: set[ir.Node] = set()
    stack = [node]
    while stack:
        for value in stack.pop().inputs:
            producer = value.producer() if value is not None else None
            if producer is not None and producer not in found:
                found.add(producer)
                stack.append(producer)
    return found


def _model(context: Context) -> Iterator[Finding]:
    """What concerns the model as a whole."""
    capabilities, graph = context.capabilities, context.graph
    if not graph.binary_layers:
        yield Reason(
            "",
            "",
            "no-binary-layer",
            "the model has no binary layer",
            "'bibench-deploy inspect' tells of every layer why it is not binary",
        )
    for layer in graph.layers:
        if layer.looks_binary:
            yield Note(
                layer.nodes[0] if layer.nodes else "",
                layer.name,
                "looks-binary",
                f"stays float, since {layer.why_not_binary}",
            )
    inputs = [value for value in graph.model.graph.inputs if value.const_value is None]
    if capabilities.max_inputs and len(inputs) > capabilities.max_inputs:
        yield Reason(
            "",
            "",
            "inputs",
            f"the model has {len(inputs)} inputs; {capabilities.title} takes {capabilities.max_inputs}",
            "join the inputs into one tensor",
        )
    for value in inputs:
        dims = shape(value)
        if capabilities.batch == "one" and dims and dims[0] != 1:
            yield Reason(
                value.name or "",
                "",
                "batch",
                f"the model's batch is fixed at {dims[0]}; {capabilities.title} takes one sample at a time",
                "export the model with a free batch (dynamic_axes) or with batch 1",
            )
        if capabilities.input_ranks and len(dims) not in capabilities.input_ranks:
            yield Reason(
                value.name or "",
                "",
                "rank",
                f"the model's input has {len(dims)} axes; {capabilities.title} takes "
                + " or ".join(map(str, capabilities.input_ranks)),
                "export the model for an input (N, C, H, W)",
            )
    if capabilities.threads == "one":
        yield Note("", "", "threads", f"{capabilities.title} runs on one thread, whatever it is given")
    if capabilities.status == "check-only":
        yield Note(
            "",
            "",
            "no-conversion-yet",
            f"this is a verdict about {capabilities.title}; converting to it comes with a later version",
        )


def _padding(text: str) -> float:
    value = float(text)
    if value not in (-1.0, 0.0, 1.0):
        raise ValueError(text)
    return value


def _sign_zero(text: str) -> float:
    value = float(text)
    if value not in (-1.0, 1.0):
        raise ValueError(text)
    return value


#: Key of ``--allow`` → field of Allowed, its reader, and the values it takes.
_ALLOW: dict[str, tuple[str, Callable[[str], float], str]] = {
    "padding": ("padding", _padding, "−1, 0 or +1"),
    "sign-zero": ("sign_zero", _sign_zero, "+1 or −1"),
}


def parse_allow(options: Iterable[str]) -> Allowed:
    """Read ``--allow KEY=VALUE`` options.

    Raises:
        InputError: an unknown key, a value that the key doesn't take, or a key given twice.
    """
    found: dict[str, float] = {}
    keys = "; ".join(f"{key}= takes {values}" for key, (_, _, values) in _ALLOW.items())
    for option in options:
        key, _, text = option.partition("=")
        if key not in _ALLOW:
            raise InputError(f"--allow knows no '{key}'", remedy=keys)
        field, read, values = _ALLOW[key]
        if field in found:
            raise InputError(f"--allow {key} is given twice")
        try:
            found[field] = read(text.replace("−", "-"))
        except ValueError as error:
            raise InputError(f"--allow {key} takes {values}, not '{text}'", remedy=keys) from error
    return Allowed(**found)
