"""Backends on a part of a state: sums over components are those of all ranks.

Here filters meet other ranks, and nowhere else: they ask a backend for sums, and for what a
decision depends on that all ranks have to take alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends import (
    Backend,
    DiffusionProblem,
    FlowProblem,
    ListedFlow,
    LocalLists,
    LocalObservations,
    ObservedComponents,
    ScoreSums,
    Stage,
)
from ..backends.cpp import CppBackend
from ..backends.numpy.backend import NumpyBackend
from ..backends.numpy.plain import philox_normals
from ..backends.problems import InnovationSums, ReducedProblem
from .ranks import Ranks

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Agreed:
    """What ranks know of each other as an analysis begins.

    Attributes
    ----------
    first, whole : int
        This rank's first component in the state, and how many that has.
    seen : int
        How many observations hold a value.
    kinds : frozenset of str
        Component-wise functions that kernels evaluate; none where a rank's h is no such function.
    picks : bool
        Whether all observations are single components as they are.
    precisions : list of float
        The distinct 1/r^2, in the order of the state.
    """

    first: int
    whole: int
    seen: int
    kinds: frozenset[str]
    picks: bool
    precisions: list[float]


class _Part(Backend):
    """What backends on a part of a state answer alike."""

    alone = False

    def __init__(self, ranks: Ranks, agreed: Agreed) -> None:
        self.ranks, self.agreed = ranks, agreed
        self.kinds = agreed.kinds

    def whole(self, dim: int) -> int:
        return self.agreed.whole

    def total(self, sums: Array) -> Array:
        return self.ranks.total(sums)

    def unobserved(self, y: Array) -> npt.NDArray[np.bool_]:
        return np.full(len(y), self.agreed.seen == 0)

    def picks(self, observed: ObservedComponents) -> bool:
        return self.agreed.picks

    def precisions(self, observed: ObservedComponents, most: int) -> list[Any]:
        return self.agreed.precisions[: most + 1]


class CppPart(_Part, CppBackend):
    """The compiled core: kernels cut up the whole state, and sum over the chunks of all ranks."""

    name = "cpp"

    def __init__(self, ranks: Ranks, agreed: Agreed) -> None:
        CppBackend.__init__(self)
        _Part.__init__(self, ranks, agreed)
        self._state = self.core.SharedState(agreed.first, agreed.whole, ranks.add)

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        with self._state:
            return super().squared_distances(x, x1, x0, stage)

    def pairwise_field(
        self,
        x: Array,
        x1: Array,
        x0: Array | None,
        stage: Stage,
        log_weights: Array | None,
        out: Array,
    ) -> None:
        with self._state:
            super().pairwise_field(x, x1, x0, stage, log_weights, out)

    def flow_analysis(self, problem: FlowProblem, out: Array) -> None:
        with self._state:
            super().flow_analysis(problem, out)

    def diffusion_analysis(self, problem: DiffusionProblem, out: Array) -> None:
        with self._state:
            super().diffusion_analysis(problem, out)

    def reduced_analysis(self, problem: ReducedProblem, out: Array) -> None:
        with self._state:
            super().reduced_analysis(problem, out)

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        with self._state:
            return super().misfit(x, observed)

    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        with self._state:
            return super().anomaly_grams(x, observed)

    def innovations(
        self, x: Array, observed: ObservedComponents, moments: Array | None = None
    ) -> InnovationSums:
        with self._state:
            return super().innovations(x, observed, moments)

    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        with self._state:
            return super().score_sums(x, truth)

    def state_normals(self, key: int, batch: int, step: int, out: Array) -> None:
        with self._state:
            super().normals(key, batch, step, out)


class PlainPart(_Part, NumpyBackend):
    """Plain NumPy, or sums of another backend's kernels and NumPy for what follows from them."""

    def __init__(self, ranks: Ranks, agreed: Agreed, base: Backend) -> None:
        super().__init__(ranks, agreed)
        self.base, self.name = base, base.name

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        return self.total(self.base.squared_distances(x, x1, x0, stage))

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        return self.total(self.base.misfit(x, observed))

    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        states, values = self.total(np.array(self.base.anomaly_grams(x, observed)))
        return states, values

    def innovations(
        self, x: Array, observed: ObservedComponents, moments: Array | None = None
    ) -> InnovationSums:
        found = self.base.innovations(x, observed, moments)
        return InnovationSums(*self.total(np.array(found)).tolist())

    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        found = self.base.score_sums(x, truth)
        sums = self.total(np.concatenate([np.ravel(part) for part in found]))
        ends = np.cumsum([np.size(part) for part in found])[:-1]
        *numbers, to_members, to_truth, ranks = np.split(sums, ends)
        squared_error, variance, crps, absolute = (float(part[0]) for part in numbers)
        return ScoreSums(
            squared_error,
            variance,
            crps,
            absolute,
            to_members.reshape(found.to_members.shape),
            to_truth,
            ranks.astype(np.int64),
        )

    def letkf_lists(
        self,
        x: Array,
        lists: LocalLists,
        observations: LocalObservations,
        rotation: Array | None,
        out: Array,
    ) -> None:
        self.base.letkf_lists(x, lists, observations, rotation, out)

    def lenff_lists(self, problem: ListedFlow, x: Array) -> None:
        self.base.lenff_lists(problem, x)

    def state_normals(self, key: int, batch: int, step: int, out: Array) -> None:
        out[...] = philox_normals(key, batch, step, *out.shape, first=self.agreed.first)


#: What is on a part of a state by the name of the backend on the whole of it.
PARTS: dict[str, Callable[[Ranks, Agreed, Backend], Backend]] = {
    "cpp": lambda ranks, agreed, base: CppPart(ranks, agreed),
    "numba": PlainPart,
    "numpy": PlainPart,
}
