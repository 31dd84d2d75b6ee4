"""The model of a filter that runs it again, within its analysis, and for how long."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .. import _arrays, _checks
from ..models import Model
from ..observation import Observation
from ..operators import Custom
from .cycle import Array, Memory, Times

#: A model from `enfilt.models`, ``(ensemble, steps) -> ensemble``, or that of an assimilation,
#: ``(ensemble, start, stop, rng) -> ensemble``; without model noise.
Rerun: TypeAlias = Model | Callable[..., Array]
#: What the model is run for: steps, or from one time to another.
Span: TypeAlias = int | Times

#: So near to a whole number of steps, in steps, and so near to each other, cycles may be.
_NEAR = 1e-6


def check(filt: Any, model: Any, steps_per_cycle: int | None) -> None:
    """Check the options of a filter."""
    if not isinstance(model, Model) and not callable(model):
        raise TypeError(f"model={model!r}: expected a model, or a callable")
    noise = getattr(model, "model_noise", 0)
    if noise:
        raise ValueError(
            f"model has model_noise={noise}: expected none, the {type(filt).__name__} re-runs the "
            f"model and takes it for perfect"
        )
    if steps_per_cycle is not None:
        _checks.integer("steps_per_cycle", steps_per_cycle, 1)
        return
    save = getattr(model, "save", None)  # of a model as assimilations have it
    if callable(save) and save() is not None:
        raise ValueError(
            f"model={model!r} remembers more than the ensemble, of which the "
            f"{type(filt).__name__} runs others: expected one whose save() is None"
        )


def spans(filt: Any, memory: Memory, times: Times | None, still: bool) -> list[Span]:
    """Return what lies between the analysis before and now, nothing where no time has passed.

    Parameters
    ----------
    filt : EnsembleFilter
        With its `model` and `steps_per_cycle`.
    memory : Memory
        How long cycles were, for models that count steps of a length that nobody knows.
    times : Times or None
        What the analysis was told.
    still : bool
        Whether the forecast equals the analysis before, which says it where nothing was told.
    """
    steps: int | None = filt.steps_per_cycle
    if times is None:
        if steps is None:
            raise ValueError(
                "between is missing, and steps_per_cycle=None: expected between=(start, stop), "
                "for which model is run"
            )
        return [] if still else [steps]
    if not bool(times.stop != times.start):
        return []
    length = times.stop - times.start
    if isinstance(filt.model, Model) and (times.of_model or steps is None):
        count = float(length / filt.model.dt)
        if abs(count - round(count)) > _NEAR * max(1.0, count):
            raise ValueError(
                f"between={tuple(times[:2])}, {count:.6g} steps of {filt.model!r}: expected a "
                f"whole number of them"
            )
        return [round(count)]
    if steps is None:
        return [times]
    if memory.length is None:
        memory.length = length
    elif abs(length - memory.length) > _NEAR * memory.length:
        raise ValueError(
            f"between={tuple(times[:2])} is another time than {memory.length}, that of the cycle "
            f"that steps_per_cycle={steps} was taken for: expected cycles of one length, or "
            f"steps_per_cycle=None and a model (ensemble, start, stop, rng)"
        )
    return [steps]


def run(model: Rerun, spans: Sequence[Span], ensemble: Array) -> Array:
    """Return an ensemble (N, D) after some spans, one after the other."""
    steps = 0
    for span in spans:
        if isinstance(span, Times):
            assert not isinstance(model, Model)  # whose steps are counted
            # noise, where there is some in spite of all, is the same in every run
            rng = np.random.default_rng(0)
            ensemble = _returned(model(ensemble, span.start, span.stop, rng), ensemble)
        else:
            steps += span  # of many cycles at once
    return _stepped(model, steps, ensemble) if steps else ensemble


def _stepped(model: Rerun, steps: int, ensemble: Array) -> Array:
    if not isinstance(model, Model):
        return _returned(model(ensemble, steps), ensemble)
    try:
        return model.step(ensemble, steps)
    except (ValueError, FloatingPointError) as error:
        # it is the filter's ensemble, of which the caller knows nothing
        raise type(error)(f"model={model!r}: {error}") from error


def _returned(found: Any, ensemble: Array) -> Array:
    """Return what a user's model has made of an ensemble, checked."""
    found = _checks.plain("what model returned", found, members=2)
    result: Array = _arrays.beside(ensemble, found)
    if result.shape != ensemble.shape or result.dtype != ensemble.dtype:
        raise ValueError(
            f"model returned {result.dtype} of shape {result.shape}: expected "
            f"{ensemble.dtype} of shape {ensemble.shape}, as the ensemble"
        )
    return result


def through(
    obs: Observation, model: Rerun, spans: Sequence[Span], dim: int, observations: int
) -> Observation:
    """Return the observations of a state before the model has run for some spans."""
    changed = copy.copy(obs)
    if obs.tells_places(dim):
        changed = changed.at(*obs.places(dim, observations))
    if obs.operator is not None:
        h = obs.h

        def observed(ensemble: Array) -> Array:
            found: Array = h(run(model, spans, np.ascontiguousarray(ensemble)))
            return found

        changed = changed.through(Custom(observed))
    object.__setattr__(changed, "quality", None)  # it has looked at them already
    return changed
