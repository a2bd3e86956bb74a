"""What is compared: one library with one network and one number of threads."""

from __future__ import annotations

from dataclasses import dataclass

from bibench_deploy.errors import EngineError

#: Libraries; the first two are engines of the tool.
NATIVE, LARQ, ONNXRUNTIME, LITERT = "native", "larq", "onnxruntime", "litert"
#: Not libraries: the time that a core would need at best for the binary and for the float multiply-accumulates.
POPCOUNT, FMA = "popcount ceiling", "FMA ceiling"
FP32 = "fp32"
#: The network as it is trained without binarization; a twin has hard tanh where the binarized one has a sign.
RELU = "fp32 (ReLU)"
#: Variants as the issue of the engine names them, the last two on ``native`` alone.
VARIANTS = ("dorefa", "reactnet", "xnor", "xnorpp")
#: Those of them that Larq can take (the paper's Table 4).
LARQ_VARIANTS = ("dorefa", "reactnet")
#: The binarized variant that others are compared with: its factors are fused, it adds nothing to a bare network.
YARDSTICK = "dorefa"
#: Architecture → data set that gives it the paper's input size.
ARCHITECTURES = {"resnet18": "imagenet", "resnet34": "imagenet", "vgg-small": "cifar10"}


class UnavailableError(EngineError):
    """A case that can't be measured here: its library is not installed, or the tool refuses the network for it."""


@dataclass(frozen=True)
class Case:
    """One line of a table.

    Attributes:
        library: what executes it.
        model: architecture.
        variant: algorithm, ``fp32`` or ``fp32 (ReLU)``.
        threads: how many.
        isa: the native engine's kernels; "" for the fastest that the CPU has.
    """

    library: str
    model: str
    variant: str
    threads: int = 1
    isa: str = ""

    def __str__(self) -> str:
        isa = f" with {self.isa}" if self.isa else ""
        return f"{self.library}{isa}, {self.model} {self.variant}, {self.threads} threads"


def cases_of(
    model: str, variants: tuple[str, ...], threads: tuple[int, ...], isas: tuple[str, ...]
) -> list[Case]:
    """All that is measured of one architecture, in the order of the tables.

    Args:
        isas: slower kernels of the native engine to measure too; its fastest is always measured.
    """
    found: list[Case] = []
    for count in threads:
        found += [Case(NATIVE, model, variant, count) for variant in (FP32, *variants)]
        found += [Case(library, model, FP32, count) for library in (LARQ, ONNXRUNTIME, LITERT)]
        found += [Case(LARQ, model, variant, count) for variant in variants if variant in LARQ_VARIANTS]
        found += [Case(NATIVE, model, variant, count, isa) for isa in isas for variant in (FP32, *variants)]
        found += [Case(ONNXRUNTIME, model, RELU, count)]
    found += [Case(ceiling, model, YARDSTICK, 1, isa) for ceiling in (POPCOUNT, FMA) for isa in ("", *isas)]
    return found
