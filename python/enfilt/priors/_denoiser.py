"""Denoising in a normalized space: what the learned prior's network is trained and asked on.

A noised state x has, component by component, a joint Gaussian with the state and its image: from
the forecast's moments alone each has the posterior mean m + s (k x' + sqrt(1 - k^2) F), x' the
normalized x and k its correlation, with F = 0. The network gives F, of unit size at every level
of noise, so that an untrained one is the diagonal Gaussian prior; its target is what makes the
formula exact, and its loss the mean squared error.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .. import progress
from ._networks import MLP, UNet
from .base import Array, Estimate, FittedPrior, Noising, Setting

#: Components from which on a perceptron on all of them is too large.
LARGEST_MLP = 1000
#: Components up to which several threads wait for each other longer than they compute.
_ONE_THREAD = 20_000


@dataclass(frozen=True)
class Architecture:
    """What a network is made from, and saved with."""

    dim: int
    shape: tuple[int, ...]
    periodic: bool
    width: int
    variables: int = 1

    def build(self, seed: int) -> torch.nn.Module:
        """Return a new network."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.dim < LARGEST_MLP:
                return MLP(self.dim, self.width)
            return UNet(self.shape, self.periodic, max(8, self.width // 4), self.variables)


@contextlib.contextmanager
def threads_for(dim: int) -> Iterator[None]:
    """Run a small network on one thread."""
    before = torch.get_num_threads()
    if dim <= _ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Normalized:
    """The moments of a forecast, component by component, and what follows from them at a level."""

    def __init__(self, x: Array, g: Array | None) -> None:
        self.mean = x.mean(axis=0)
        self.image_mean = np.zeros_like(self.mean) if g is None else g.mean(axis=0)
        a = x - self.mean
        b = np.zeros_like(a) if g is None else g - self.image_mean
        self.xx, self.xg, self.gg = (np.mean(p * q, axis=0) for p, q in ((a, a), (a, b), (b, b)))
        self.deviation, self.image_deviation = (
            np.sqrt(np.where(v > 0, v, 1.0)) for v in (self.xx, self.gg)
        )

    def level(self, scale: Any, variance: Any, image_scale: Any) -> tuple[Array, ...]:
        """Return mean and deviation of the noised state, and the correlations k with both."""
        mean = scale * self.mean + image_scale * self.image_mean
        xt = scale * self.xx + image_scale * self.xg
        gt = scale * self.xg + image_scale * self.gg
        deviation = np.sqrt(scale * xt + image_scale * gt + variance)
        # a correlation of one leaves nothing to learn, and nothing to divide by
        k = np.clip(xt / (self.deviation * deviation), -1 + 1e-9, 1 - 1e-9)
        kg = np.clip(gt / (self.image_deviation * deviation), -1 + 1e-9, 1 - 1e-9)
        return mean, deviation, k, kg


def noise_channel(k: Array) -> Array:
    """Return the logarithm of noise over signal, of size about one, as the network is told it."""
    told: Array = np.clip(np.log((1 - k**2) / np.maximum(k**2, 1e-12)) / 8, -3.0, 3.0)
    return told


class Trainer:
    """Trains a network on states, and makes its inputs.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    x, g : ndarray, (N, D)
        States and their images, or None, in the coordinates of `basis`.
    basis : ndarray, (D, D), or None
        The network works on components; points may be given in other coordinates.
    device : str
        Of the network.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        x: Array,
        g: Array | None,
        basis: Array | None,
        device: str,
    ) -> None:
        self.network = network.to(device)
        self.x = x.astype(np.float64)
        self.g = None if g is None else g.astype(np.float64)
        self.basis, self.device = basis, device
        self.space = Normalized(self.x, self.g)

    def inputs(self, normalized: Array, k: Array) -> torch.Tensor:
        """Return the network's input (M, 2, D) for normalized points (M, D)."""
        channel = np.broadcast_to(noise_channel(k), normalized.shape)
        if self.basis is not None:
            normalized, channel = normalized @ self.basis.T, channel @ (self.basis.T**2)
        return self.tensor(np.stack([normalized, channel], axis=1))

    def tensor(self, array: Array) -> torch.Tensor:
        """Return an array as the network takes it."""
        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=self.device)

    def train(
        self,
        levels: Sequence[Noising],
        rng: np.random.Generator,
        *,
        updates: int,
        batch: int,
        rate: float,
        label: str,
        show: bool | None = None,
    ) -> None:
        """Take `updates` steps of Adam on random batches; a bar shows after two seconds."""
        optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.network.train()
        with threads_for(self.x.shape[1]), progress.bar(updates, label, show) as bar:
            for step in range(updates):
                # the rate falls to zero: the last steps average over batches
                for group in optimizer.param_groups:
                    group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * step / updates))
                inputs, target, heads = self._batch(levels, rng, batch)
                loss = torch.mean((self.network(inputs)[:, :heads] - target) ** 2)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
                optimizer.step()
                bar.update()
        self.network.eval()

    def _batch(
        self, levels: Sequence[Noising], rng: np.random.Generator, batch: int
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        rows = rng.integers(len(self.x), size=batch)
        x0 = self.x[rows]
        scale, variance, image_scale = self._draw_levels(levels, rng, x0.shape)
        g0 = None if self.g is None else self.g[rows]
        noised = scale * x0 + np.sqrt(variance) * rng.standard_normal(x0.shape)
        if g0 is not None:
            noised += image_scale * g0
        mean, deviation, k, kg = self.space.level(scale, variance, image_scale)
        z = (noised - mean) / deviation
        target = [((x0 - self.space.mean) / self.space.deviation - k * z) / np.sqrt(1 - k**2)]
        if g0 is not None:
            g = (g0 - self.space.image_mean) / self.space.image_deviation
            target.append((g - kg * z) / np.sqrt(1 - kg**2))
        if self.basis is not None:
            target = [t @ self.basis.T for t in target]
        return self.inputs(z, k), self.tensor(np.stack(target, axis=1)), len(target)

    def _draw_levels(
        self, levels: Sequence[Noising], rng: np.random.Generator, shape: tuple[int, ...]
    ) -> tuple[Array, Array, Array]:
        if len(levels):
            chosen = [levels[i] for i in rng.integers(len(levels), size=shape[0])]
            scale = np.stack([np.broadcast_to(n.scale, shape[1:]) for n in chosen])
            variance = np.stack([np.broadcast_to(n.variance, shape[1:]) for n in chosen])
            return scale, variance, np.array([[n.image_scale] for n in chosen])
        # Nothing known of the sampler: some components at one level, the others at another, from
        # a thousandth to a thousand standard deviations.
        two = 10 ** rng.uniform(-3, 3, (shape[0], 2, 1))
        first = rng.random(shape) < rng.random((shape[0], 1))
        ratio = np.where(first, two[:, 0], two[:, 1])
        return np.ones(shape), (ratio * self.space.deviation) ** 2, np.zeros((shape[0], 1))


class Denoiser(FittedPrior):
    """A trained network as a prior."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.space = trainer, trainer.space

    def _ask(self, x: Array, noising: Noising, *, gradient: bool) -> tuple[Any, ...]:
        mean, deviation, k, kg = self.space.level(
            noising.scale, noising.variance, noising.image_scale
        )
        z = (x - mean) / deviation
        inputs = self.trainer.inputs(z, k).requires_grad_(gradient)
        with threads_for(x.shape[1]), torch.set_grad_enabled(gradient):
            return deviation, k, kg, z, inputs, self.trainer.network(inputs)

    def estimate(self, x: Array, noising: Noising) -> Estimate:
        _, k, kg, z, _, answer = self._ask(x, noising, gradient=False)
        found = answer.cpu().numpy().astype(np.float64)
        if self.trainer.basis is not None:
            found = found @ self.trainer.basis
        space = self.space
        state = space.mean + np.sqrt(space.xx) * (k * z + np.sqrt(1 - k**2) * found[:, 0])
        if self.trainer.g is None:
            return Estimate(state.astype(x.dtype), None)
        image = kg * z + np.sqrt(1 - kg**2) * found[:, 1]
        image = space.image_mean + np.sqrt(space.gg) * image
        return Estimate(state.astype(x.dtype), image.astype(x.dtype))

    def pullback(self, x: Array, noising: Noising, state: Array, image: Array) -> Array:
        deviation, k, kg, _, inputs, answer = self._ask(x, noising, gradient=True)
        space, basis = self.space, self.trainer.basis
        u = state * np.sqrt(space.xx)
        v = np.zeros_like(u) if self.trainer.g is None else image * np.sqrt(space.gg)
        weights = [np.sqrt(1 - k**2) * u, np.sqrt(1 - kg**2) * v]
        if basis is not None:
            weights = [w @ basis.T for w in weights]
        through_network = torch.sum(answer * self.trainer.tensor(np.stack(weights, axis=1)))
        with threads_for(x.shape[1]):
            through_network.backward()  # type: ignore[no-untyped-call]
        through = inputs.grad[:, 0].cpu().numpy().astype(np.float64)
        if basis is not None:
            through = through @ basis
        result: Array = ((k * u + kg * v + through) / deviation).astype(x.dtype)
        return result


def fit(
    network: torch.nn.Module | None,
    architecture: Architecture,
    forecast: Array,
    rng: np.random.Generator,
    setting: Setting,
    device: str,
    **options: Any,
) -> Denoiser:
    """Train a copy of `network`, or a new one, on a forecast ensemble."""
    if network is None:
        network = architecture.build(int(rng.integers(2**31)))
    trainer = Trainer(
        copy.deepcopy(network), setting.rotated(forecast), setting.image, setting.basis, device
    )
    trainer.train(setting.levels, rng, label="prior", **options)
    return Denoiser(trainer)


def pick_device(device: str) -> str:
    """Return where networks run: "auto" is a GPU where PyTorch has one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(torch.device(device))
