"""Where the time of one inference goes: layer by layer, and against what the core could do at best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bibench_deploy.errors import EngineError

Kind = Literal["binary", "float"]
Positive = Annotated[float, Field(gt=0)]
#: Time that is given to it, s, beside the measurement itself: layers are timed one by one.
SECONDS = 1.0
RUNS = 10


class Operator(BaseModel):
    """One layer of an artefact, timed by itself.

    Attributes:
        name: of its first output, as in the ONNX model where it has one there.
        opcode: the engine's name of what it is.
        median_ns: of its runs.
        kind: what its multiply-accumulates are; None for what has none (pooling, additions).
        macs: multiply-accumulates of one run; of a binary layer in whole words, as they are executed.
        ceiling_gmacs: 10⁹ of them in a second that the used cores do in a bare loop, measured between the layers:
            XOR, popcount and add for binary ones, fused multiply-adds for float ones.
        predicted_gmacs: the same of a binary layer, as it follows from the table of core types and the clocks that
            were seen; None where either is not known.
        moved_bytes: what it has to read and write at least: its weights, inputs and outputs, each once.
        read_gbs: 10⁹ bytes in a second that the used cores read of memory that no cache holds, measured beside it.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    opcode: str
    median_ns: Positive
    kind: Kind | None = None
    macs: Positive | None = None
    ceiling_gmacs: Positive | None = None
    predicted_gmacs: Positive | None = None
    moved_bytes: Positive | None = None
    read_gbs: Positive | None = None

    @property
    def gmacs(self) -> float | None:
        """10⁹ multiply-accumulates in a second."""
        return self.macs / self.median_ns if self.macs else None

    @property
    def of_ceiling(self) -> float | None:
        """Its share of what the cores could do, as a fraction; above 1 only by noise."""
        return self.gmacs / self.ceiling_gmacs if self.gmacs and self.ceiling_gmacs else None

    @property
    def of_predicted(self) -> float | None:
        """The same of what was predicted."""
        return self.gmacs / self.predicted_gmacs if self.gmacs and self.predicted_gmacs else None

    @property
    def intensity(self) -> float | None:
        """Multiply-accumulates for a byte that has to be moved."""
        return self.macs / self.moved_bytes if self.macs and self.moved_bytes else None


def shares(operators: Sequence[Operator]) -> list[float]:
    """Of the sum of all, the part of each."""
    total = sum(operator.median_ns for operator in operators)
    return [operator.median_ns / total for operator in operators]


def options(threads: int, cpus: Sequence[int] = ()) -> list[str]:
    """What ``bibench-run MODEL`` is called with."""
    pinned = ["--cpus", ",".join(map(str, cpus))] if cpus else []
    timing = ["--min-time", str(SECONDS), "--min-runs", str(RUNS)]
    return ["--per-op", "--threads", str(threads), *timing, *pinned]


def read_operators(stdout: str) -> list[Operator]:
    """What ``bibench-run --per-op`` printed.

    Raises:
        EngineError: it is something else.
    """
    try:
        return [_operator(json.loads(line)) for line in stdout.splitlines()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"the engine's times of layers can't be read ({error})",
            remedy="please report it with the artefact",
        ) from error


def _operator(line: dict[str, Any]) -> Operator:
    macs: dict[Kind, Any] = {"binary": line.get("binary_macs"), "float": line.get("float_macs")}
    kind = next((name for name, count in macs.items() if count), None)
    return Operator(
        name=line["name"],
        opcode=line["opcode"],
        median_ns=max(line["median_ns"], 1),  # a clock that ticks slower than the layer runs
        kind=kind,
        macs=macs[kind] if kind else None,
        ceiling_gmacs=line.get("ceiling_gmacs") or None,
        moved_bytes=line.get("bytes") or None,
        read_gbs=line.get("read_gbs") or None,
    )
