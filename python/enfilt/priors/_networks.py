"""The networks of the learned prior; imported with the first of them (needs PyTorch)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Channels in: the normalized noised state, and how much of it is noise.
INPUTS = 2
#: Channels out: of the state, and of its image under the observation operator.
OUTPUTS = 2


class MLP(nn.Module):
    """A perceptron on all components at once, for small states."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(INPUTS * dim, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            _zero(nn.Linear(width, OUTPUTS * dim)),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x.flatten(1)).reshape(len(x), OUTPUTS, -1)
        return result


class UNet(nn.Module):
    """A small U-Net on a grid of one or two axes (Ronneberger, Fischer, Brox 2015).

    Local and the same everywhere: what it learns at one place serves all. Variables at one point
    are channels.
    """

    def __init__(
        self, shape: tuple[int, ...], periodic: bool, width: int, variables: int = 1
    ) -> None:
        super().__init__()
        self.shape = shape
        axes = len(shape)
        self.enter = _convolution(axes, INPUTS * variables, width, periodic)
        self.down = nn.ModuleList(
            [_Block(axes, width, width, periodic), _Block(axes, width, 2 * width, periodic)]
        )
        self.bottom = _Block(axes, 2 * width, 2 * width, periodic)
        self.up = nn.ModuleList(
            [_Block(axes, 4 * width, width, periodic), _Block(axes, 2 * width, width, periodic)]
        )
        self.leave = _zero(_convolution(axes, width, OUTPUTS * variables, periodic))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x.reshape(len(x), -1, *self.shape))
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
            # ceil_mode: a point at an odd end is kept, and no axis gets empty
            pool = functional.avg_pool1d if len(self.shape) == 1 else functional.avg_pool2d
            x = pool(x, 2, ceil_mode=True)
        x = self.bottom(x)
        for block, skip in zip(self.up, reversed(kept), strict=True):
            x = functional.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        result: Tensor = self.leave(x).reshape(len(x), OUTPUTS, -1)
        return result


class _Block(nn.Module):
    """Two convolutions with a path around them."""

    def __init__(self, axes: int, inputs: int, outputs: int, periodic: bool) -> None:
        super().__init__()
        self.first = _convolution(axes, inputs, outputs, periodic)
        self.second = _convolution(axes, outputs, outputs, periodic)
        self.around = (nn.Conv1d if axes == 1 else nn.Conv2d)(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.silu(self.first(functional.silu(x)))
        result: Tensor = self.around(x) + self.second(inner)
        return result


def _convolution(axes: int, inputs: int, outputs: int, periodic: bool) -> nn.Module:
    kind = nn.Conv1d if axes == 1 else nn.Conv2d
    if periodic:
        return kind(inputs, outputs, 3, padding=1, padding_mode="circular")
    return kind(inputs, outputs, 3, padding=1)


def _zero(layer: nn.Module) -> nn.Module:
    """Make a layer's output zero at first: the network then starts from the diagonal Gaussian."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
