"""How many observations a place sees: at most so many, and neither none nor all alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ..backends import LocalLists
from ..localization import Taper

# So many observations, all seen with such weights, are no localization.
_MANY, _NEARLY_ONE = 10, 0.9


def warn(localization: Taper, weights: npt.NDArray[np.float64]) -> None:
    """Warn of a cutoff, within which everything is, where it changes next to nothing."""
    if localization.cutoff < np.inf and len(weights) >= _MANY and weights.min() > _NEARLY_ONE:
        warnings.warn(
            f"every component sees every observation, with weights of at least "
            f"{weights.min():.2g}, within the cutoff {localization.cutoff:g}: is it in the unit of "
            f"the grid? Without localization it is np.inf",
            UserWarning,
            stacklevel=2,
        )


def looked_at(
    parts: Iterable[LocalLists], localization: Taper, observations: int, apart: bool
) -> Iterator[LocalLists]:
    """Yield lists of the observations that a place sees at most; warn where all see all, or none.

    `apart` tells whether errors are not correlated.
    """
    if localization.most is not None and not apart:
        raise ValueError(
            f"localization={localization!r}: expected one without most=, as errors are correlated "
            f"and observations are seen in blocks"
        )
    pairs, places, least = 0, 0, np.ones(1)
    for part in parts:
        pairs += len(part.indices)
        places += len(part.starts) - 1
        least = np.minimum(least, part.weights.min(initial=1.0))
        yield part if localization.most is None else _at_most(part, localization.most)
    if pairs == 0:
        warnings.warn(
            f"no component sees an observation within the cutoff {localization.cutoff:g}: is it in "
            f"the unit of the grid, as the places of the observations are?",
            UserWarning,
            stacklevel=2,
        )
    elif pairs == places * observations:
        warn(localization, np.broadcast_to(least, observations))


def _at_most(part: LocalLists, most: int) -> LocalLists:
    """Return lists of the observations of the largest weights, the first of equals."""
    counts = np.diff(part.starts)
    if counts.max(initial=0) <= most:
        return part
    row = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((-part.weights, row))  # stable
    chosen = np.sort(order[np.arange(len(row)) - part.starts[row] < most])
    starts = np.concatenate([[0], np.cumsum(np.minimum(counts, most))])
    return part._replace(starts=starts, indices=part.indices[chosen], weights=part.weights[chosen])
