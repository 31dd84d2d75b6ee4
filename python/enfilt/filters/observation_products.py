"""What the observations of an analysis say in the space of the ensemble."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import _arrays
from ..backends import ObservedComponents
from ..backends.numpy.plain import KINDS, observe
from ..kernels import ensemble_space
from .cycle import Array, Cycle


def _observed(x: Array, cycle: Cycle, m: int, given: Array | None) -> Iterator[tuple[slice, Array]]:
    """Yield parts of the observations, in their own order, and h(x) of each, or those `given`."""
    form = cycle.obs.pointwise(x.shape[-1]) if given is None else None
    if form is None or form.kind not in KINDS:
        h = cycle.obs.observe(x, m) if given is None else given
        yield from ensemble_space.in_parts(h)
        return
    chosen = form.components
    if not isinstance(chosen, slice):
        chosen = _arrays.beside(x, chosen)
    for part in ensemble_space.blocks(m, len(x), on_device=_arrays.on_device(x)):
        if isinstance(chosen, slice):
            offset, indices = chosen.start + part.start * chosen.step, None
        else:
            offset, indices = 0, chosen[part]
        stride = chosen.step if isinstance(chosen, slice) else 1
        size = part.stop - part.start
        empty = x[0, :0]
        yield (
            part,
            observe(
                x,
                ObservedComponents(
                    form.kind,
                    form.parameter,
                    offset,
                    stride,
                    size,
                    indices,
                    empty,
                    empty,
                    form.function,
                ),
            ),
        )


def observation_products(
    cycle: Cycle,
    b: int,
    ensemble: Array | None = None,
    normals: Array | None = None,
    values: Array | None = None,
) -> ensemble_space.Products:
    """Sum what the observations say in the space of the ensemble; missing ones drop out.

    Those with correlated errors are decorrelated first (`Observation.decorrelation`).

    Parameters
    ----------
    cycle : Cycle
        The analysis.
    b : int
        Which ensemble of the batch.
    ensemble : ndarray, (N, D), optional
        Another ensemble than the forecast to take h of.
    normals : ndarray, (N, m), optional
        eps of the perturbed observations.
    values : ndarray, (N, m), optional
        h(x) of that ensemble, where it is known.
    """
    x = cycle.forecast[b] if ensemble is None else ensemble
    if values is None and ensemble is None and cycle.given is not None:
        values = cycle.given[b]
    y = cycle.y[b]
    decorrelation = cycle.obs.decorrelation(y)
    if decorrelation is not None:
        h = cycle.obs.observe(x, y.size) if values is None else values
        values, y = decorrelation(h), decorrelation(y)
    xp = _arrays.namespace(x)
    precision = _arrays.beside(x, cycle.obs.precision(np.float64))
    precision = xp.broadcast_to(precision, y.shape)
    parts = _observed(x, cycle, y.size, values)
    found = ensemble_space.products(parts, y, precision, len(x), normals)
    return found if cycle.backend.alone else found.everywhere(cycle.backend.total)
