"""Stage two's training step in PyTorch, optimized for a CPU, for the comparison in benchmarks/stage_two_step.py.

It uses channels_last, no gradients for frozen layers, in-place ReLU and a fused Adam. torch.compile made it no faster.
"""
from __future__ import annotations

import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # (convolutions, filters) of VGG16
LOWER = 2  # blocks before the split
WIDTHS = (64, 128, 256, 512)  # of the generator's levels


def vgg_blocks(sizes, channels: int) -> nn.Sequential:
    """Returns convolutions with ReLU, and a pooling after each block except VGG16's last.

    Args:
      sizes: (convolutions, filters) of each block.
      channels: of the input.
    """
    layers = []
    for number, (count, filters) in enumerate(sizes):
        for _ in range(count):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        if channels != 512 or number + 1 < len(sizes):
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Classifier(nn.Module):
    """VGG16 up to block5_conv3, global average pooling and a dense layer."""

    def __init__(self, classes: int):
        super().__init__()
        self.features = vgg_blocks(BLOCKS, 3)
        self.head = nn.Linear(512, classes)

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3)))


def double_convolution(in_channels: int, width: int) -> nn.Sequential:
    """Returns two convolutions with batch normalization and ReLU."""
    layers = []
    for channels in (in_channels, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width, eps=1e-5, momentum=0.1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """The generator of ornet_tf/models/generator.py, from features to activation map."""

    def __init__(self, classes: int):
        super().__init__()
        in_channels = (BLOCKS[LOWER - 1][1], *WIDTHS[:-1])
        self.down = nn.ModuleList(double_convolution(*channels) for channels in zip(in_channels, WIDTHS))
        pairs = zip(WIDTHS[:-1], WIDTHS[1:])
        self.up = nn.ModuleList(double_convolution(width + below, width) for width, below in pairs)
        self.class_maps = nn.Conv2d(WIDTHS[0], classes, 1)
        self.score = nn.Conv2d(classes, 1, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(1, eps=1e-5, momentum=0.1)

    def forward(self, x):
        skips = []
        for level, module in enumerate(self.down):
            x = module(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.up[level](torch.cat([skips[level], x], dim=1))
        return torch.sigmoid(self.norm(self.score(self.class_maps(x))))


def erase(maps: torch.Tensor) -> torch.Tensor:
    """Attentive erasing with the defaults of ornet_tf/erasing/attentive.py."""
    count, _, height, width = maps.shape
    flat = maps.flatten(1)
    place = flat.argmax(dim=1)
    sides = 0.4 + 0.8 * torch.rand(count, 2, 1, 1)
    rows = (torch.arange(height)[None, :, None] - (place // width)[:, None, None]).abs() * 2
    columns = (torch.arange(width)[None, None, :] - (place % width)[:, None, None]).abs() * 2
    inside = (rows <= sides[:, 0] * height) & (columns <= sides[:, 1] * width)
    dropped = inside & (maps[:, 0] > 0.5) & (torch.rand(maps[:, 0].shape) < 0.5)
    return maps.masked_fill(dropped[:, None], 0.0)


def functions(images: np.ndarray, labels: np.ndarray, *, classes: int):
    """Returns two functions that take a number: "step" runs training steps, "forward" runs forward passes of VGG16.

    Args:
      images: float32 [B, H, W, 3] in 0..255.
      labels: int32 [B].
      classes: the number of classes.
    """
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    layout = torch.channels_last
    lower = vgg_blocks(BLOCKS[:LOWER], 3).to(memory_format=layout).eval().requires_grad_(False)
    evaluator = Classifier(classes).to(memory_format=layout).eval().requires_grad_(False)
    generator = Generator(classes).to(memory_format=layout).train()
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4, fused=True)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    labels = torch.from_numpy(labels).long()
    mean = torch.tensor([103.939, 116.779, 123.68])[None, :, None, None]

    def steps(count):
        for _ in range(count):
            pixels = (images.flip(1) - mean).contiguous(memory_format=layout)
            with torch.no_grad():
                features = lower(pixels)
            maps = generator(features)
            mask = functional.interpolate(
                erase(maps), size=pixels.shape[2:], mode="bilinear", align_corners=False
            )
            logits = evaluator(pixels * mask)
            clipped = maps.clamp(2**-24, 1 - 2**-24)
            entropy = -(maps * clipped.log() + (1 - maps) * (1 - clipped).log())
            weighted = (torch.exp(-0.5 * ((maps - 0.5) / 0.1) ** 2) * entropy).mean()
            loss = functional.cross_entropy(logits, labels) + 1.5 * weighted + 0.02 * maps.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss.item()

    def forwards(count):
        with torch.inference_mode():
            for _ in range(count):
                evaluator(images)

    return {"step": steps, "forward": forwards}
