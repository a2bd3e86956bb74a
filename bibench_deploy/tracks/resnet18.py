"""What the layers of the paper's ResNet18 cost at 224×224: all but the first convolution and the classifier binary.

He et al., *Deep residual learning for image recognition*, CVPR 2016, Table 1; 1×1 convolutions in the shortcuts.
The zoo's ``resnet18`` is the same network (a test compares them).
"""

from __future__ import annotations

from collections.abc import Iterator

from bibench_deploy.complexity import LayerCost

CLASSES = 1000
STEM_SIZE = 112
#: (channels, map size) of the four stages.
STAGES = ((64, 56), (128, 28), (256, 14), (512, 7))
#: Algorithms without a factor in 32 bits; XNOR++'s and XNOR's own are counted as by ``complexity``.
WITHOUT_FACTOR = ("bnn",)


def layer_costs(algorithm: str) -> tuple[LayerCost, ...]:
    """The layers, with a channel factor except for BNN."""
    factor = algorithm not in WITHOUT_FACTOR
    return tuple(_layers(factor))


def _layers(factor: bool) -> Iterator[LayerCost]:
    stem = 7 * 7 * 3 * STAGES[0][0]
    yield LayerCost("conv1", "float", stem, stem * STEM_SIZE**2)
    yield _normalization("bn1", STAGES[0][0])
    taken = STAGES[0][0]
    for stage, (channels, size) in enumerate(STAGES, start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes = [("conv1", 3, taken), ("conv2", 3, channels)]
            if taken != channels:
                shapes.append(("shortcut", 1, taken))
            for part, kernel, inputs in shapes:
                yield _binary(f"{name}.{part}", kernel**2 * inputs, channels, size, factor)
                yield _normalization(f"{name}.{part}.bn", channels)
            taken = channels
    weights = taken * CLASSES
    yield LayerCost("fc", "float", weights + CLASSES, weights)


def _binary(name: str, fan_in: int, channels: int, size: int, factor: bool) -> LayerCost:
    weights = fan_in * channels
    kept = (channels, channels * size**2) if factor else (0, 0)
    return LayerCost(name, "binary", weights, weights * size**2, weights, *kept)


def _normalization(name: str, channels: int) -> LayerCost:
    return LayerCost(name, "other", 2 * channels, 0)
