"""The model of a filter that runs it again, within its analysis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .. import _arrays, _checks
from ..models import Model
from .cycle import Array

#: A model from `enfilt.models`, or ``(ensemble, steps) -> ensemble``; without model noise.
Rerun: TypeAlias = Model | Callable[[Array, int], Array]


def check(filt: Any, model: Any, steps_per_cycle: int) -> None:
    """Check the options of a filter."""
    if not isinstance(model, Model) and not callable(model):
        raise TypeError(f"model={model!r}: expected a model, or a callable")
    noise = getattr(model, "model_noise", 0)
    if noise:
        raise ValueError(
            f"model has model_noise={noise}: expected none, the {type(filt).__name__} re-runs the "
            f"model and takes it for perfect"
        )
    _checks.integer("steps_per_cycle", steps_per_cycle, 1)


def run(model: Rerun, steps: int, ensemble: Array) -> Array:
    """Return an ensemble (N, D) after some steps."""
    if isinstance(model, Model):
        try:
            return model.step(ensemble, steps)
        except (ValueError, FloatingPointError) as error:
            # it is the filter's ensemble, of which the caller knows nothing
            raise type(error)(f"model={model!r}: {error}") from error
    found = model(ensemble, steps)
    found = _checks.plain("what model returned", found, members=2)
    result: Array = _arrays.beside(ensemble, found)
    if result.shape != ensemble.shape or result.dtype != ensemble.dtype:
        raise ValueError(
            f"model returned {result.dtype} of shape {result.shape}: expected "
            f"{ensemble.dtype} of shape {ensemble.shape}, as the ensemble"
        )
    return result
