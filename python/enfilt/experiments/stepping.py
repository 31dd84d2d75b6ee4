"""States on their way through a model: stepped, and looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks, backends
from ..models import Model

Array = npt.NDArray[Any]


class NotFiniteError(Exception):
    """A state of the run is no longer finite."""


class Stepping:
    """Looks at the states of a run once, where no one else has.

    Parameters
    ----------
    xp : module
        NumPy or CuPy: where states are.

    Attributes
    ----------
    cycle : int
        The cycle that messages name.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.cycle = 0

    @property
    def on_device(self) -> bool:
        return self.xp is not np

    @contextlib.contextmanager
    def may_blow_up(self) -> Iterator[None]:
        """Take numbers that overflow, wherever that shows, for an ensemble that has blown up."""
        try:
            yield
        except FloatingPointError as error:
            raise NotFiniteError(f"at cycle {self.cycle}, {error}") from error

    def model_steps(
        self,
        model: Model,
        name: str,
        ensemble: Array,
        steps: int,
        rng: np.random.Generator,
        out: Array | None = None,
    ) -> Array:
        """Return an ensemble after some steps, checked where the model has not done it itself."""
        try:
            result: Array = model.step(ensemble, steps, rng=rng, out=out)
        except FloatingPointError as error:
            bad = str(error).replace("ensemble", name, 1)
            raise NotFiniteError(f"at cycle {self.cycle}, {bad}") from None
        if self.on_device or type(model).step is not Model.step:
            self.check(result, name)
        return result

    def returned(self, value: Any, ensemble: Array, name: str) -> Array:
        """Return what a user's function has made of an ensemble, checked."""
        value = _checks.plain("what model returned", value, members=2)
        # PyTorch, JAX and other arrays on the same device come over without a copy
        foreign = hasattr(value, "__dlpack__") and not isinstance(value, self.xp.ndarray)
        stepped: Array = self.xp.from_dlpack(value) if foreign else self.xp.asarray(value)
        if stepped.shape != ensemble.shape or stepped.dtype != ensemble.dtype:
            raise ValueError(
                f"model returned {stepped.dtype} of shape {stepped.shape} for {ensemble.dtype} of "
                f"shape {ensemble.shape}: expected the same"
            )
        self.check(stepped, name)
        return stepped

    def check(self, ensemble: Array, name: str) -> None:
        """Check that states are finite."""
        rows = _checks.contiguous(ensemble)
        try:
            _checks.finite(name, rows, backends.of_arrays("auto", ensemble=rows).all_finite)
        except ValueError as error:
            raise NotFiniteError(f"at cycle {self.cycle}, {error}") from None

    def wait(self) -> None:
        """Wait for the device, so that what is timed has been done."""
        if self.on_device:
            self.xp.cuda.get_current_stream().synchronize()
