"""VGG-Small, in full precision and binarized, and a still smaller net of the same kind.

VGG-Small is the CIFAR-10 net of HWGQ-Net (Cai et al., CVPR 2017, arXiv:1702.00953), which the literature on
binarization took over: six 3×3 convolutions of 128, 256 and 512 channels and one classifier. A max pool
stands before its batch norm, so that the next sign sees both signs (XNOR-Net: pooling after a sign gives
mostly +1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from bibench_deploy.zoo.resnet import ConvFactory

Layer = tuple[int, bool]  # channels of a 3×3 convolution, and whether a 2×2 max pool follows it

VGG_SMALL: Sequence[Layer] = ((128, False), (128, True), (256, False), (256, True), (512, False), (512, True))
VGG_TINY: Sequence[Layer] = ((32, True), (64, False), (64, True), (64, False))


class Vgg(nn.Module):
    """3×3 convolutions, some followed by a 2×2 max pool, each by batch norm and activation; one classifier.

    Args:
        conv: makes all convolutions but the first.
        activation: makes an activation.
        input_shape: (C, H, W).
        classes: number of classes.
        layers: the convolutions.
    """

    def __init__(
        self,
        conv: ConvFactory,
        activation: Callable[[], nn.Module],
        *,
        input_shape: tuple[int, int, int],
        classes: int,
        layers: Sequence[Layer],
    ) -> None:
        super().__init__()
        width, height, breadth = input_shape
        features: list[nn.Module] = []
        for index, (channels, pooled) in enumerate(layers):
            make = nn.Conv2d if index == 0 else conv
            features.append(make(width, channels, 3, padding=1, bias=False))
            if pooled:
                features.append(nn.MaxPool2d(2))
                height, breadth = height // 2, breadth // 2
            features += [nn.BatchNorm2d(channels), activation()]
            width = channels
        self.features = nn.Sequential(*features)
        self.fc = nn.Linear(width * height * breadth, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, classes)."""
        logits: Tensor = self.fc(self.features(x).flatten(1))
        return logits
