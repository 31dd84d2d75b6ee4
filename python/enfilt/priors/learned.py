"""A learned prior: a network trained by denoising score matching on forecast members."""

from __future__ import annotations

import copy
import importlib
import os
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .. import _checks, progress
from ..grids import RegularGrid
from ..models import Model
from .base import Array, FittedPrior, Prior, Setting, check_forecast

_SPINUP_CHUNK = 100


@dataclass
class _Memory:
    """Networks that outlive a cycle."""

    pretrained: Any = None
    current: dict[int, Any] = field(default_factory=dict)  # by number in a batch
    architecture: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # on the CPU: where it is unpickled there may be no such device
        copies = copy.deepcopy(vars(self))
        for network in (copies["pretrained"], *copies["current"].values()):
            if network is not None:
                network.cpu()
        return copies


@dataclass(frozen=True)
class LearnedPrior(Prior):
    """A network (noised state, level of noise) -> state, trained on the forecast in each cycle.

    Vincent (2011), "A connection between score matching and denoising autoencoders". A perceptron
    for D < 1,000; otherwise a U-Net, on the grid's two axes where it has two and along the
    components where not. It works in the space normalized by the forecast's mean and standard
    deviation, in float32, and learns what the diagonal Gaussian prior does not know: untrained, it
    is that prior. Trained by mean squared error on forecast members noised as the sampler will.

    The network of one cycle starts the next ("warm start"), the first starts from the pretrained
    one, if any; `reset` goes back to that, and a `TwinExperiment` does so when a run begins.
    Needs PyTorch: ``pip install 'enfilt[learned]'``.

    Parameters
    ----------
    updates : int
        Steps of the optimizer (Adam) in each cycle, at least 1.
    batch : int
        Noised members in each, at least 1.
    learning_rate : float
        Of the first step, above zero; it falls to zero over the updates.
    width : int
        Hidden units of the perceptron; a quarter of it channels of the U-Net. At least 4.
    device : str
        "auto" (a GPU where PyTorch has one), "cpu", "cuda", ...

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError, ValueError
        If an option is out of its range; later, if a network was trained for another D.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> prior = ef.priors.LearnedPrior(updates=20, width=16)
    >>> members = np.random.default_rng(0).standard_normal((50, 3))
    >>> fitted = prior.fit(members, np.random.default_rng(1))
    >>> fitted.posterior_mean(np.zeros((1, 3)), ef.priors.Noising(1.0, 0.5)).shape
    (1, 3)
    """

    updates: int = 200
    batch: int = 64
    learning_rate: float = 1e-3
    width: int = 128
    device: str = "auto"
    _memory: _Memory = field(default_factory=_Memory, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        for name, least in (("updates", 1), ("batch", 1), ("width", 4)):
            _checks.integer(name, getattr(self, name), least)
        _checks.number("learning_rate", self.learning_rate, above=0)
        _denoiser()

    def fit(
        self,
        forecast: Array,
        rng: np.random.Generator | None = None,
        setting: Setting = Setting(),  # noqa: B008 - frozen
    ) -> FittedPrior:
        forecast = check_forecast(forecast, setting)
        memory = self._memory
        architecture = self._architecture(forecast.shape[-1], setting.grid)
        self._check_fits(architecture)
        generator = np.random.default_rng() if rng is None else rng
        fitted = _denoiser().fit(
            memory.current.get(setting.index, memory.pretrained),
            architecture,
            forecast,
            generator,
            setting,
            self._place(),
            updates=self.updates,
            batch=self.batch,
            rate=self.learning_rate,
        )
        memory.current[setting.index] = fitted.trainer.network
        memory.architecture = architecture
        result: FittedPrior = fitted
        return result

    def pretrain(
        self,
        model: Model,
        *,
        members: int = 16,
        cycles: int = 100,
        steps_per_cycle: int = 10,
        spinup: int = 1000,
        updates: int = 2000,
        rng: np.random.Generator | int | None = None,
        show: bool | None = None,
    ) -> None:
        """Train once on a free run of the model; every later run starts from this network.

        Parameters
        ----------
        model : Model
            Of `enfilt.models`, or of your own.
        members : int
            Runs side by side, from different initial states, at least 1.
        cycles, steps_per_cycle : int
            States taken of each run, and steps between two of them, at least 1.
        spinup : int
            Steps before the first is taken, at least 0.
        updates : int
            Steps of the optimizer, at least 1.
        rng : numpy.random.Generator, int or None
            Through `numpy.random.default_rng`.
        show : bool, optional
            Progress bars; None: where standard error is a terminal, after two seconds.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the message names it.
        """
        if not isinstance(model, Model):
            raise TypeError(f"model={model!r}: expected an enfilt.models.Model")
        for name, value, least in (
            ("members", members, 1),
            ("cycles", cycles, 1),
            ("steps_per_cycle", steps_per_cycle, 1),
            ("spinup", spinup, 0),
            ("updates", updates, 1),
        ):
            _checks.integer(name, value, least)
        generator = np.random.default_rng(rng)
        states = np.stack([model.initial_state(generator) for _ in range(members)])
        taken = []
        with progress.bar(spinup + cycles * steps_per_cycle, "free run", show) as bar:
            done = 0
            while done < spinup:
                steps = min(_SPINUP_CHUNK, spinup - done)
                states = model.step(states, steps, rng=generator)
                done += steps
                bar.update(steps)
            for _ in range(cycles):
                states = model.step(states, steps_per_cycle, rng=generator)
                taken.append(states)
                bar.update(steps_per_cycle)
        architecture = self._architecture(model.dim, model.grid)
        data = np.concatenate(taken)
        _checks.finite("the free run", data)
        trained = _denoiser().fit(
            None,
            architecture,
            data,
            generator,
            Setting(),
            self._place(),
            updates=updates,
            batch=self.batch,
            rate=self.learning_rate,
            show=show,
        )
        self._memory.pretrained = trained.trainer.network
        self._memory.current.clear()
        self._memory.architecture = architecture

    def reset(self) -> None:
        self._memory.current.clear()
        if self._memory.pretrained is None:
            self._memory.architecture = None

    def state(self) -> Any:
        networks = self._memory.current.items()
        return {
            "architecture": self._memory.architecture and asdict(self._memory.architecture),
            "networks": {index: _weights(network) for index, network in networks},
        }

    def restore(self, state: Any) -> None:
        self.reset()
        if state["architecture"] is None:
            return
        architecture = _denoiser().Architecture(**state["architecture"])
        for index, weights in state["networks"].items():
            self._memory.current[index] = _network(architecture, weights)
        self._memory.architecture = architecture

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network of the last cycle, or else the pretrained one, to a file.

        Parameters
        ----------
        path : path
            Of the file.

        Raises
        ------
        ValueError
            If nothing was trained yet.
        """
        memory = self._memory
        network = memory.current.get(0, memory.pretrained)
        if network is None:
            raise ValueError("there is no network to save: expected fit or pretrain before")
        described = asdict(memory.architecture)
        _torch().save({"architecture": described, "weights": _weights(network)}, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> LearnedPrior:
        """Return a prior that starts from a saved network.

        Parameters
        ----------
        path : path
            Of a file that `save` wrote.
        **options
            As of the class, but `width`, which the file tells.

        Raises
        ------
        ValueError
            If the file was not written by `save`.
        """
        denoiser = _denoiser()
        saved = _torch().load(path, map_location="cpu", weights_only=True)
        try:
            described = dict(saved["architecture"])
            described["shape"] = tuple(described["shape"])
            architecture = denoiser.Architecture(**described)
            network = _network(architecture, saved["weights"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"path={path!r} holds no saved prior: {error}") from None
        prior = cls(width=architecture.width, **options)
        prior._memory.pretrained = network
        prior._memory.architecture = architecture
        return prior

    def _architecture(self, dim: int, grid: Any) -> Any:
        regular = isinstance(grid, RegularGrid) and grid.size == dim and len(grid.shape) <= 2
        regular = regular and len(set(grid.joined)) == 1
        shape = tuple(map(int, grid.shape)) if regular else (dim,)
        periodic = all(grid.joined) if regular else False
        variables = int(grid.variables) if regular else 1
        return _denoiser().Architecture(dim, shape, periodic, self.width, variables)

    def _check_fits(self, wanted: Any) -> None:
        known = self._memory.architecture
        if known is None or known == wanted:
            return
        if known.dim != wanted.dim:
            raise ValueError(
                f"the network of this prior was trained for states of {known.dim} components, the "
                f"forecast has {wanted.dim}: expected a prior of its own for each problem "
                f"(reset() forgets all but a pretrained or loaded network)"
            )
        if known.dim >= _denoiser().LARGEST_MLP:
            raise ValueError(
                f"the network of this prior was trained on a grid of shape {known.shape}, "
                f"periodic={known.periodic}, the state has one of {wanted.shape}, "
                f"periodic={wanted.periodic}: expected the same"
            )

    def _place(self) -> str:
        place: str = _denoiser().pick_device(self.device)
        return place


def _weights(network: Any) -> dict[str, Any]:
    """Return copies of a network's weights, on the CPU."""
    return {name: value.cpu().clone() for name, value in network.state_dict().items()}


def _network(architecture: Any, weights: dict[str, Any]) -> Any:
    network = architecture.build(0)
    network.load_state_dict(weights)
    return network.eval()


def _torch() -> Any:
    """Import PyTorch: not before it is needed, and with an error that says how to get it."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise ImportError("LearnedPrior needs PyTorch: pip install 'enfilt[learned]'") from None


def _denoiser() -> Any:
    _torch()
    return importlib.import_module("enfilt.priors._denoiser")
