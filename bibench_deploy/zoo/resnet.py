"""ResNets of basic blocks (He et al., CVPR 2016, arXiv:1512.03385), in full precision and binarized.

All but the first convolution and the classifier are binarized, the 1×1 convolutions of the downsampling
shortcuts included, as in BiBench. A batch norm follows each convolution. Between layers stands a ReLU in full
precision, a Hardtanh when binarized: a sign after a ReLU would see nothing below zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

ConvFactory = Callable[
    ..., nn.Conv2d
]  # as nn.Conv2d: (in_channels, out_channels, kernel_size, stride=, padding=, bias=)


class BasicBlock(nn.Module):
    """conv3×3, BN, activation, conv3×3, BN, added to the shortcut, activation.

    Args:
        conv: makes the block's convolutions.
        activation: makes an activation.
        in_channels, out_channels, stride: of the block; a 1×1 convolution carries the shortcut if they
            change the shape.
    """

    def __init__(
        self,
        conv: ConvFactory,
        activation: Callable[[], nn.Module],
        in_channels: int,
        out_channels: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.activation1 = activation()
        self.conv2 = conv(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.activation2 = activation()
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                conv(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) → (N, out, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.activation1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.activation2(y + shortcut)
        return out


class ResNet(nn.Module):
    """Stem, stages of basic blocks, global average, classifier.

    Args:
        conv: makes the convolutions of the blocks.
        activation: makes an activation.
        in_channels: channels of the input.
        classes: number of classes.
        stage_blocks: blocks a stage.
        stage_channels: channels a stage; stages after the first halve the size.
        imagenet_stem: 7×7 convolution of stride 2 and a max pool, instead of a 3×3 convolution.
    """

    def __init__(
        self,
        conv: ConvFactory,
        activation: Callable[[], nn.Module],
        *,
        in_channels: int,
        classes: int,
        stage_blocks: Sequence[int],
        stage_channels: Sequence[int],
        imagenet_stem: bool,
    ) -> None:
        super().__init__()
        width = stage_channels[0]
        if imagenet_stem:
            self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            self.pool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
            self.pool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.activation = activation()
        blocks: list[nn.Module] = []
        for stage, (count, channels) in enumerate(zip(stage_blocks, stage_channels, strict=True)):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(BasicBlock(conv, activation, width, channels, stride))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → logits (N, classes)."""
        y = self.pool(self.activation(self.bn1(self.conv1(x))))
        y = self.average(self.blocks(y)).flatten(1)
        logits: Tensor = self.fc(y)
        return logits
