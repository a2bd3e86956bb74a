"""What the architectures hold: parameters, binary layers, and statistics worth converting when untrained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bibench_deploy.errors import InputError
from bibench_deploy.zoo.build import ModelSpec, binary_layers, build, deploy, randomize
from bibench_deploy.zoo.layers import OPERATORS, BinaryLayer
from bibench_deploy.zoo.registry import ARCHITECTURES, DATASETS, Dataset, require_dataset

pytestmark = pytest.mark.zoo

PARAMETERS = [
    ("resnet18", "imagenet", 11_689_512),  # torchvision's resnet18
    ("resnet34", "imagenet", 21_797_672),  # torchvision's resnet34
    ("resnet18", "cifar10", 11_173_962),
    ("resnet20", "cifar10", 272_474),  # 0.27 M in He et al., Table 6; with 1×1 shortcuts
    ("vgg-small", "cifar10", 4_660_106),
]


@pytest.mark.parametrize(("arch", "dataset", "count"), PARAMETERS)
def test_parameters_in_full_precision(arch: str, dataset: str, count: int) -> None:
    model = build(ModelSpec(arch, "fp32", DATASETS[dataset]), seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("arch", "dataset", "binary"),
    [
        ("resnet18", "imagenet", 19),
        ("resnet34", "imagenet", 35),
        ("resnet20", "cifar10", 20),
        ("vgg-small", "cifar10", 5),
        ("vgg-tiny", "fashion-mnist", 3),
    ],
)
def test_all_but_the_first_convolution_and_the_classifier_are_binary(
    arch: str, dataset: str, binary: int
) -> None:
    model = build(ModelSpec(arch, "bnn", DATASETS[dataset]), seed=0)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    kinds = ["binary" if isinstance(layer, BinaryLayer) else type(layer).__name__ for layer in layers]
    assert kinds == ["Conv2d", *["binary"] * binary, "Linear"]
    assert ARCHITECTURES[arch].binary_layers == binary
    assert not any(isinstance(module, nn.ReLU) for module in model.modules())


def test_shortcuts_are_binary_and_halve_the_size() -> None:
    model = build(ModelSpec("resnet18", "bnn", DATASETS["imagenet"]), seed=0)
    shortcuts = {
        name: (layer.operator.geometry.weight_shape, layer.operator.geometry.stride)
        for name, layer in binary_layers(model)
        if "downsample" in name
    }
    assert list(shortcuts.values()) == [
        ((128, 64, 1, 1), (2, 2)),
        ((256, 128, 1, 1), (2, 2)),
        ((512, 256, 1, 1), (2, 2)),
    ]


@pytest.mark.parametrize("algorithm", ["fp32", *OPERATORS])
@pytest.mark.parametrize("arch", ["resnet20", "vgg-small"])
def test_signs_are_balanced_and_scales_kept_in_an_untrained_net(arch: str, algorithm: str) -> None:
    dataset = DATASETS["cifar10"]
    model = build(ModelSpec(arch, algorithm, dataset), seed=3)
    randomize(model, dataset, seed=3)
    positive: list[float] = []
    outputs: list[float] = []
    for module in model.modules():
        if isinstance(module, BinaryLayer):
            module.register_forward_pre_hook(
                lambda layer, inputs: positive.append(
                    float((layer.operator.activation(inputs[0]) > 0).float().mean())
                )
            )
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda layer, inputs, y: outputs.append(float(y.std())))
    with torch.no_grad():
        model(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(9)))
    assert len(positive) == (0 if algorithm == "fp32" else ARCHITECTURES[arch].binary_layers)
    assert all(0.3 < share < 0.7 for share in positive), positive
    assert all(0.5 < deviation < 2 for deviation in outputs), outputs


def test_the_seed_determines_weights_and_statistics() -> None:
    def state(seed: int) -> dict[str, torch.Tensor]:
        dataset = DATASETS["fashion-mnist"]
        model = build(ModelSpec("vgg-tiny", "reactnet", dataset), seed=seed)
        randomize(model, dataset, seed=seed)
        return model.state_dict()

    torch.manual_seed(5)
    first = state(1)
    drawn = torch.rand(1)
    again, other = state(1), state(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = [name for name in first if not torch.equal(first[name], other[name])]
    assert set(first) - set(changed) == {name for name in first if name.endswith("num_batches_tracked")}
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1)), "the caller's random state was touched"


def test_deploying_fda_leaves_the_function_and_drops_the_branch() -> None:
    dataset = DATASETS["fashion-mnist"]
    model = build(ModelSpec("vgg-tiny", "fda", dataset), seed=0)
    randomize(model, dataset, seed=0)
    x = torch.randn(8, 1, 28, 28)
    with torch.no_grad():
        before = model(x)
        deploy(model)
        torch.testing.assert_close(model(x), before)
    assert not any("noise" in name for name in model.state_dict())


@pytest.mark.parametrize(
    ("arch", "dataset", "text"),
    [
        ("resnet50", Dataset("cifar10", (3, 32, 32), 10), "resnet18, resnet34, resnet20, vgg-small"),
        ("resnet20", DATASETS["imagenet"], "cifar10"),
    ],
)
def test_undefined_nets_name_the_choices(arch: str, dataset: Dataset, text: str) -> None:
    with pytest.raises(InputError) as caught:
        require_dataset(arch, dataset)
    assert text in str(caught.value)


def test_images_too_small_for_the_poolings_are_refused() -> None:
    with pytest.raises(InputError, match="4×4"):
        build(ModelSpec("vgg-small", "bnn", Dataset("x", (1, 4, 4), 2)), seed=0)
