"""Every identifier of the zoo and what it stands for. No torch here: ``zoo list`` answers at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from bibench_deploy.errors import InputError, did_you_mean

FULL_PRECISION = "fp32"

SignZero = Literal[1, 0]
PadValue = Literal[0, 1, -1]
XnorK = Literal["location", "sample"]


@dataclass(frozen=True)
class Algorithm:
    """One binarization algorithm.

    Attributes:
        id: identifier, as BiBench's tables are keyed here.
        name: the name in the literature.
        paper: authors, venue and arXiv number.
        scale: scaling factor of the output: none, channel, spatial, or input (computed at run time).
        mean_shift: whether a per-channel bias is added before the sign of the activation.
        backward: surrogate gradient of the activation's sign.
    """

    id: str
    name: str
    paper: str
    scale: str
    mean_shift: bool
    backward: str


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
        id: identifier.
        name: the name in the literature.
        datasets: data sets it is defined for.
        binary_layers: convolutions that are binarized; the first one and the classifier stay float.
    """

    id: str
    name: str
    datasets: tuple[str, ...]
    binary_layers: int


@dataclass(frozen=True)
class Dataset:
    """What an architecture must know of a data set.

    Attributes:
        id: identifier.
        input_shape: (C, H, W) of one input.
        classes: number of classes.
    """

    id: str
    input_shape: tuple[int, int, int]
    classes: int


@dataclass(frozen=True)
class OperatorOptions:
    """What papers leave open or do differently from one another.

    Attributes:
        sign_zero: value of sign(0): 1, as BNN's Eq. 1 and every engine, or 0, as ``torch.sign``.
        pad_value: what surrounds a binarized activation: 0 (PyTorch's padding), 1 or -1.
        xnor_k: XNOR's K per location (channel mean and box filter, XNOR-Net §3.2) or one scalar a
            sample (as BiBench's code).
        fda_noise: whether FDA's noise adaptation branch is built; its weight is 0 after training.
    """

    sign_zero: SignZero = 1
    pad_value: PadValue = 0
    xnor_k: XnorK = "location"
    fda_noise: bool = True


_STE = "STE, clipped at ±1"
_POLYNOMIAL = "piecewise polynomial"

ALGORITHMS: Mapping[str, Algorithm] = {
    entry.id: entry
    for entry in (
        Algorithm(FULL_PRECISION, "full precision", "", "none", False, "exact"),
        Algorithm("bnn", "BNN", "Courbariaux et al. 2016, arXiv:1602.02830", "none", False, _STE),
        Algorithm("xnor", "XNOR", "Rastegari et al., ECCV 2016, arXiv:1603.05279", "input", False, _STE),
        Algorithm("dorefa", "DoReFa", "Zhou et al. 2016, arXiv:1606.06160", "channel", False, _STE),
        Algorithm(
            "bireal", "Bi-Real", "Liu et al., ECCV 2018, arXiv:1808.00278", "channel", False, _POLYNOMIAL
        ),
        Algorithm(
            "xnorpp",
            "XNOR++",
            "Bulat and Tzimiropoulos, BMVC 2019, arXiv:1909.13863",
            "spatial",
            False,
            _STE,
        ),
        Algorithm(
            "reactnet", "ReActNet", "Liu et al., ECCV 2020, arXiv:2003.03488", "channel", True, _POLYNOMIAL
        ),
        Algorithm("recu", "ReCU", "Xu et al., ICCV 2021, arXiv:2103.12369", "channel", False, _POLYNOMIAL),
        Algorithm(
            "fda", "FDA", "Xu et al., NeurIPS 2021, arXiv:2103.00841", "channel", False, "Fourier series"
        ),
    )
}

DATASETS: Mapping[str, Dataset] = {
    entry.id: entry
    for entry in (
        Dataset("imagenet", (3, 224, 224), 1000),
        Dataset("cifar10", (3, 32, 32), 10),
        Dataset("fashion-mnist", (1, 28, 28), 10),
    )
}

ARCHITECTURES: Mapping[str, Architecture] = {
    entry.id: entry
    for entry in (
        Architecture("resnet18", "ResNet18", ("imagenet", "cifar10"), 19),
        Architecture("resnet34", "ResNet34", ("imagenet", "cifar10"), 35),
        Architecture("resnet20", "ResNet20", ("cifar10", "fashion-mnist"), 20),
        Architecture("vgg-small", "VGG-Small", ("cifar10", "fashion-mnist"), 5),
        Architecture("vgg-tiny", "VGG-Tiny, for small grey images", ("fashion-mnist", "cifar10"), 3),
    )
}

_T = TypeVar("_T")


def algorithm(identifier: str) -> Algorithm:
    """The algorithm of that identifier; InputError with the choices otherwise."""
    return _lookup(ALGORITHMS, identifier, "algorithm")


def architecture(identifier: str) -> Architecture:
    """The architecture of that identifier; InputError with the choices otherwise."""
    return _lookup(ARCHITECTURES, identifier, "architecture")


def dataset(identifier: str) -> Dataset:
    """The data set of that identifier; InputError with the choices otherwise."""
    return _lookup(DATASETS, identifier, "data set")


def require_dataset(arch: str, dataset: Dataset) -> None:
    """InputError unless the architecture is defined for the data set."""
    known = architecture(arch)
    if dataset.id not in known.datasets:
        raise InputError(
            f"{known.id} is not defined for {dataset.id}",
            remedy=f"choose one of: {', '.join(known.datasets)}",
        )


def options(*, sign_zero: int = 1, pad_value: int = 0, xnor_k: str = "location") -> OperatorOptions:
    """Checked options from what a user typed; InputError with the choices otherwise."""
    if sign_zero not in (1, 0):
        raise InputError(f"sign(0) can't be {sign_zero}", where="--sign-zero", remedy="choose 1 or 0")
    if pad_value not in (0, 1, -1):
        raise InputError(f"padding can't be {pad_value}", where="--padding", remedy="choose 0, 1 or -1")
    if xnor_k not in ("location", "sample"):
        raise InputError(f"unknown K '{xnor_k}'", where="--xnor-k", remedy="choose location or sample")
    return OperatorOptions(
        sign_zero=1 if sign_zero else 0,
        pad_value=1 if pad_value == 1 else -1 if pad_value == -1 else 0,
        xnor_k="sample" if xnor_k == "sample" else "location",
    )


def _lookup(table: Mapping[str, _T], identifier: str, what: str) -> _T:
    if identifier in table:
        return table[identifier]
    hint = did_you_mean(identifier.lower(), table)
    raise InputError(f"unknown {what} '{identifier}'", remedy=f"{hint}choose one of: {', '.join(table)}")
