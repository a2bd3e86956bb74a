"""A model by its identifiers, and statistics that make an untrained one worth converting."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bibench_deploy.errors import InputError
from bibench_deploy.zoo.layers import BinaryConv2d, BinaryLayer
from bibench_deploy.zoo.reactnet import ReActNet
from bibench_deploy.zoo.recu import ReCU
from bibench_deploy.zoo.registry import FULL_PRECISION, Dataset, OperatorOptions, algorithm, architecture
from bibench_deploy.zoo.resnet import ConvFactory, ResNet
from bibench_deploy.zoo.vgg import VGG_SMALL, VGG_TINY, Vgg
from bibench_deploy.zoo.xnorpp import XnorPlusPlus

STATISTICS_BATCH = 8  # images that an untrained model's batch norms see
NEGATIVE_GAMMA = 0.05  # share of them, so that a converter meets flipped thresholds


@dataclass(frozen=True)
class ModelSpec:
    """Everything that determines a model but its weights.

    Attributes:
        arch: identifier of the architecture.
        algorithm: identifier of the algorithm.
        dataset: shape of the input and number of classes.
        options: conventions of the binary layers.
    """

    arch: str
    algorithm: str
    dataset: Dataset
    options: OperatorOptions = field(default_factory=OperatorOptions)


def build(spec: ModelSpec, *, seed: int) -> nn.Module:
    """A freshly initialized model in evaluation mode, (N, C, H, W) → logits (N, classes).

    The seed determines the weights; the caller's random state is left alone.

    Raises:
        InputError: unknown identifier, or an architecture that is not defined for images of this size.
    """
    known = architecture(spec.arch)
    name = algorithm(spec.algorithm).id
    _, height, breadth = spec.dataset.input_shape
    if min(height, breadth) < 8:
        raise InputError(
            f"images of {height}×{breadth} are too small for {known.id}", remedy="use images of at least 8×8"
        )
    conv: ConvFactory = nn.Conv2d
    activation: type[nn.Module] = nn.ReLU
    if name != FULL_PRECISION:
        conv = functools.partial(BinaryConv2d, algorithm=name, options=spec.options)
        activation = nn.Hardtanh
    with _seeded(seed):
        model = _network(known.id, conv, activation, spec.dataset)
        model.eval()
        with torch.no_grad():
            model(torch.zeros(1, *spec.dataset.input_shape))  # XNOR++ learns its factors' size here
    return model


def binary_layers(model: nn.Module) -> Iterator[tuple[str, BinaryLayer]]:
    """Name and module of every binary layer, in order of construction."""
    for name, module in model.named_modules():
        if isinstance(module, BinaryLayer):
            yield name, module


def set_progress(model: nn.Module, fraction: float) -> None:
    """Move every operator's schedule; 0 is the start of training, 1 its end."""
    for _, layer in binary_layers(model):
        layer.operator.set_progress(fraction)


def deploy(model: nn.Module) -> None:
    """Drop what only training needs, in place, and switch to evaluation."""
    for _, layer in binary_layers(model):
        layer.operator.set_progress(1.0)
        layer.operator.deploy()
    model.eval()


def randomize(model: nn.Module, dataset: Dataset, *, seed: int) -> None:
    """Give an untrained model what training would have given it, in place and determined by the seed.

    Batch norms get γ around 1 (a few negative), β around 0, and the running statistics of seeded noise that
    is passed through in training mode, so activations keep their scale and signs are balanced. Learned
    shifts and factors get values that differ by channel, row and column.
    """
    noise = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=noise)

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    with torch.no_grad():
        for norm in norms:
            flip = torch.rand(norm.weight.shape, generator=noise) < NEGATIVE_GAMMA
            gamma = 1 + 0.25 * normal(norm.weight).clamp(-3, 3)
            norm.weight.copy_(torch.where(flip, -gamma, gamma))
            norm.bias.copy_(0.3 * normal(norm.bias))
        for _, layer in binary_layers(model):
            operator = layer.operator
            if isinstance(operator, ReActNet):
                operator.shift.copy_(0.2 * normal(operator.shift))
            elif isinstance(operator, ReCU):
                operator.alpha.mul_(torch.exp(0.3 * normal(operator.alpha)))
            elif isinstance(operator, XnorPlusPlus):
                operator.channel.copy_(0.05 * torch.exp(0.3 * normal(operator.channel)))
                for factor in operator.spatial:
                    factor.copy_(1 + 0.1 * normal(factor))
        with _accumulating(norms):
            model.train()
            model(torch.randn(STATISTICS_BATCH, *dataset.input_shape, generator=noise))
            model.eval()


def _network(arch: str, conv: ConvFactory, activation: type[nn.Module], dataset: Dataset) -> nn.Module:
    channels, classes = dataset.input_shape[0], dataset.classes
    if arch in ("vgg-small", "vgg-tiny"):
        layers = VGG_SMALL if arch == "vgg-small" else VGG_TINY
        return Vgg(conv, activation, input_shape=dataset.input_shape, classes=classes, layers=layers)
    blocks, widths = {
        "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512)),
        "resnet34": ((3, 4, 6, 3), (64, 128, 256, 512)),
        "resnet20": ((3, 3, 3), (16, 32, 64)),
    }[arch]
    return ResNet(
        conv,
        activation,
        in_channels=channels,
        classes=classes,
        stage_blocks=blocks,
        stage_channels=widths,
        imagenet_stem=dataset.id == "imagenet",
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _accumulating(norms: list[nn.BatchNorm2d | nn.BatchNorm1d]) -> Iterator[None]:
    """Running statistics become those of what passes inside, with no share of their initial 0 and 1."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
