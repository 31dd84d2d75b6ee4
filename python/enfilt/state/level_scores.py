"""How good each variable of a state is, level by level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks, metrics
from .._values import by_content
from . import roles

if TYPE_CHECKING:
    from .layout import Layout

Array = npt.NDArray[Any]


@by_content
class LevelScores(NamedTuple):
    """Scores of one variable, level by level; one of each where it has no levels.

    Attributes
    ----------
    level : ndarray, (levels,)
        The levels, as their coordinate has them, or their numbers.
    rmse, spread, crps, fair_crps : ndarray, (levels,)
        As those of `enfilt.metrics.Scores`, the mean over components being weighted; NaN of a level
        without components, or without weight.
    """

    level: Array
    rmse: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    crps: npt.NDArray[np.float64]
    fair_crps: npt.NDArray[np.float64]


def by_level(
    layout: Layout, ensemble: Array, truth: Array, weights: str | npt.ArrayLike
) -> dict[str, LevelScores]:
    """Return the scores that `Layout.scores` tells."""
    found = metrics.of_components(ensemble, truth)
    counted = _weights(layout, weights)
    result = {}
    for name, chosen in layout.slices.items():
        level, axis = roles.levels(layout, name)
        number = np.zeros(layout.shapes[name], np.int64)
        if axis is not None:
            np.moveaxis(number, axis, -1)[...] = np.arange(len(level))
        number = number.ravel()[layout.kept(name)]
        weight, count = counted[chosen], len(level)
        total = np.bincount(number, weight, count)
        with np.errstate(invalid="ignore"):  # of a level without components NaN
            means = [np.bincount(number, weight * v[chosen], count) / total for v in found]
        result[name] = LevelScores(level, *np.sqrt(means[:2]), *means[2:])
    return result


def _weights(layout: Layout, weights: str | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return how much each component counts."""
    if isinstance(weights, str):
        _checks.choice("weights", weights, ["area", "equal"])
        return roles.areas(layout) if weights == "area" else np.ones(layout.size)
    counted = _checks.numbers("weights", weights)
    if counted.shape != (layout.size,) or not (np.isfinite(counted) & (counted >= 0)).all():
        raise ValueError(
            f"weights has shape {counted.shape}: expected {(layout.size,)}, finite numbers of at "
            f"least 0"
        )
    return counted
