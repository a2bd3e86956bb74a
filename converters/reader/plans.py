"""How a tensor is two-valued: the step that it is of a real tensor, and what stands between the two.

A plan changes nothing; ``build`` makes its Binarize node and the moves (MaxPool, Reshape, ...) behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from .regions import Region
from .steps import StepFunction


@dataclass(frozen=True)
class NotBinary:
    """Why a tensor is not two-valued; ``suspicious`` if it seems to have been meant to be of few bits."""

    reason: str
    suspicious: bool = False


@dataclass(frozen=True)
class StepPlan:
    """A step of a real tensor: the tensor is ``middle + half · s`` with s of ±1."""

    region: Region
    step: StepFunction
    axis: int | None

    @property
    def half(self) -> float:
        """Half the distance between the two values."""
        return self.step.half

    @property
    def middle(self) -> float:
        """The mean of the two values."""
        return self.step.middle

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the nodes that spelled the step."""
        return tuple(node.name or "" for node in self.region.nodes)


@dataclass(frozen=True)
class MovePlan:
    """A two-valued tensor behind an operator that only moves values."""

    node: ir.Node
    output: int
    parts: tuple[Plan, ...]
    half: float
    middle: float

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the nodes that spelled the step."""
        return tuple(name for part in self.parts for name in part.sources)


@dataclass(frozen=True)
class _Around:
    """A node around another plan that leaves its two values what they are."""

    node: ir.Node
    part: Plan

    @property
    def half(self) -> float:
        """Half the distance between the two values."""
        return self.part.half

    @property
    def middle(self) -> float:
        """The mean of the two values."""
        return self.part.middle

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the nodes that spelled the step, and this node's."""
        return (*self.part.sources, self.node.name or "")


@dataclass(frozen=True)
class PadPlan(_Around):
    """A two-valued tensor padded with a constant: ``value`` in ±1 terms, (before, after) per axis."""

    pads: tuple[tuple[int, int], ...]
    value: float


@dataclass(frozen=True)
class FactorPlan(_Around):
    """A two-valued tensor multiplied by a factor computed at run time (XNOR's K before the convolution)."""

    factor: ir.Value


Plan = StepPlan | MovePlan | PadPlan | FactorPlan
