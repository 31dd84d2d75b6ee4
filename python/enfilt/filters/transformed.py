"""A filter whose analysis is made of transformed variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._values import Value
from ..observation import Observation
from ..operators.transformed import OfTransformed
from ..transforms.base import Transform
from ..transforms.state import Components, TransformedState
from .base import EnsembleFilter
from .cycle import Array, Cycle

__all__ = ["Transformed"]


@dataclass(frozen=True, eq=False)
class Transformed(EnsembleFilter):
    """A filter that works on transformed variables: nothing leaves the bounds of a variable.

    The forecast is transformed, z = T(x) component by component, the filter makes its analysis of
    z, and x = T^-1(z) is the analysis. What is observed is h(T^-1(z)), so that the observations,
    their errors and the operator stay as they are; inflation widens z. All filters do; those that
    need a gradient have it by the chain rule. What the analysis does not move is the forecast, bit
    for bit.

    Parameters
    ----------
    filt : EnsembleFilter
        Makes the analysis; its options, its inflation and its taper are those of z.
    transforms : Transform or mapping of str to Transform
        From `enfilt.transforms`: of all components, or of variables by name.
    variables : Layout, Sphere or mapping of str to slice, optional
        Which components the variables have: a `state.Layout`, a geometry with variables by name, or
        an index into (D,) of each. Default: the observation's ``grid=``.
    backend : str
        That of `filt`, unless it is given here.

    Raises
    ------
    TypeError, ValueError
        If `filt` is no filter, or one that runs the model itself (`IEnKF`), or an option is given
        here that belongs to it.

    Notes
    -----
    A forecast outside the domain of a transform is an error that names component and variable. With
    `RankGaussian` the ensembles of a batch are analysed one by one, as each has its own transform.
    Functions of the user's inside of a filter, such as a guidance, are given z and the operator
    of z.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> humidity = np.exp(np.random.default_rng(0).standard_normal((20, 3)))
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.05)
    >>> (ef.ETKF().analysis(humidity, [0.01, 0.1, 1.0], obs) > 0).all()
    np.False_
    >>> filt = ef.Transformed(ef.ETKF(), ef.transforms.Log())
    >>> (filt.analysis(humidity, [0.01, 0.1, 1.0], obs) > 0).all()
    np.True_

    Only some of the variables:

    >>> filt = ef.Transformed(
    ...     ef.ETKF(), {"q": ef.transforms.Log()}, variables={"t": slice(0, 2), "q": slice(2, 3)}
    ... )
    """

    filt: EnsembleFilter
    transforms: Transform | Mapping[str, Transform]
    variables: Any = None
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    __eq__ = Value.__eq__
    __hash__ = Value.__hash__

    def __post_init__(self) -> None:
        if not isinstance(self.filt, EnsembleFilter):
            raise TypeError(f"filt={self.filt!r}: expected a filter such as enfilt.LETKF(...)")
        super().__post_init__()
        if self.backend == "auto":
            object.__setattr__(self, "backend", self.filt.backend)
        elif self.backend != self.filt.backend:
            replaced = dataclasses.replace(self.filt, backend=self.backend)
            object.__setattr__(self, "filt", replaced)
        object.__setattr__(self, "_min_members", self.filt._min_members)

    def _check_options(self) -> None:
        if not self.filt._takes_transformed:
            raise TypeError(
                f"filt={type(self.filt).__name__} runs the model, which takes variables as they "
                f"are: expected a filter that does not"
            )
        if self.inflation != 1.0:
            raise ValueError(
                f"inflation={self.inflation!r}: expected that of filt, such as "
                f"Transformed(LETKF(..., inflation=...), ...)"
            )
        if self.parameter_inflation is not None:
            raise ValueError(
                f"parameter_inflation={self.parameter_inflation!r}: expected that of filt"
            )
        if isinstance(self.transforms, Mapping):
            object.__setattr__(self, "transforms", dict(self.transforms))
            named = dict(self.transforms)
        else:
            named = {"": self.transforms}
        for name, value in named.items():
            if not isinstance(value, Transform):
                argument = f"transforms[{name!r}]" if name else "transforms"
                raise TypeError(
                    f"{argument}={value!r}: expected a transform such as enfilt.transforms.Log()"
                )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_kept": {}}  # that is made again

    @property
    def _needs_previous(self) -> bool:
        return self.filt._needs_previous

    @property
    def _draws_beside_noise(self) -> bool:
        return self.filt._draws_beside_noise

    def _noise_shape(self, members: int, dim: int) -> tuple[int, ...]:
        return self.filt._noise_shape(members, dim)

    def _noise_shape_observed(self, members: int, dim: int, observations: int) -> tuple[int, ...]:
        return self.filt._noise_shape_observed(members, dim, observations)

    def _needs_of_h(self) -> str:
        return self.filt._needs_of_h()

    def _calls_back(self, cycle: Cycle) -> bool:
        return True  # a forecast outside a domain is found on the way

    def _check_observation(self, obs: Observation) -> None:
        if obs.operator is None and self.filt._inflation.needs_h_of_analysis:
            raise TypeError(
                f"obs has no operator, and inflation={self.filt._inflation!r} needs h of the "
                f"analysis: expected Observation(operator, ...), or another inflation"
            )
        self.filt._check_observation(obs)

    def reset(self) -> None:
        super().reset()
        self._kept.clear()
        self.filt.reset()

    def state(self) -> dict[str, Any]:
        filters: dict[int, EnsembleFilter] = self._kept.get("filters", {})
        of_batch = {b: filt.state() for b, filt in filters.items()}
        return super().state() | {"filt": self.filt.state(), "of_batch": of_batch}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.filt.restore(state["filt"])
        for b, one in state["of_batch"].items():
            self._of_batch(b).restore(one)

    def describe(self) -> str:
        return f"Transformed({self.filt.describe()}, {self.transforms!r})"

    def _update(self, cycle: Cycle, out: Array) -> None:
        transforms = self._of_components(cycle.obs, out.shape[-1])
        transforms.check("forecast", cycle.forecast)
        if cycle.previous is not None and self.filt._needs_previous:
            transforms.check("previous", cycle.previous)
        if not transforms.is_fitted:
            self._analyse(self.filt, transforms, cycle, out)
            return
        told: list[dict[str, float]] = []
        for b, x in enumerate(cycle.forecast):
            one = _one(cycle, b)
            filt = self.filt if b == 0 else self._of_batch(b)
            self._analyse(filt, transforms.fitted(x), one, out[b : b + 1])
            told.append(one.facts)
        for name in dict.fromkeys(name for facts in told for name in facts):
            values = [facts[name] for facts in told if name in facts]
            cycle.facts[name] = float(np.mean(values))

    def _of_batch(self, b: int) -> EnsembleFilter:
        """Return a filter with a memory of its own, for one ensemble of a batch."""
        filters: dict[int, EnsembleFilter] = self._kept.setdefault("filters", {})
        if b not in filters:
            filters[b] = dataclasses.replace(self.filt)
        return filters[b]

    def _analyse(
        self, filt: EnsembleFilter, transforms: TransformedState, cycle: Cycle, out: Array
    ) -> None:
        """Write the analysis of a cycle to `out` (B, N, D)."""
        before = transforms.forward(cycle.forecast)
        previous = cycle.previous
        if previous is not None and filt._needs_previous:
            previous = transforms.forward(previous)
        moved = dataclasses.replace(
            cycle,
            forecast=before,
            previous=previous,
            obs=self._observing(transforms, cycle.obs, out.shape[-1]),
        )
        filt._run(moved, out, out.shape)
        cycle.facts.update(filt.facts)
        transforms.back(out, before, cycle.forecast)

    def _observing(self, transforms: TransformedState, obs: Observation, dim: int) -> Observation:
        """Return the observations of transformed states."""
        if obs.operator is None:
            return obs
        form = obs.pointwise(dim)
        if not transforms.parts or (form and not transforms.holds(form.components, dim)):
            return obs
        known = self._kept.get("observing")
        # the same object, by which filters know what they have found out about it
        if known is not None and known[:3] == (obs, transforms, dim):
            found: Observation = known[3]
            return found
        found = obs.through(OfTransformed(obs.operator, transforms))
        self._kept["observing"] = obs, transforms, dim, found
        return found

    def _of_components(self, obs: Observation, dim: int) -> TransformedState:
        """Return the transforms by components."""
        source = obs.grid if self.variables is None else self.variables
        known = self._kept.get("transforms")
        if known is not None and known[0] is source and known[1] == dim:
            found: TransformedState = known[2]
            return found
        found = TransformedState(list(self._parts(source, dim)))
        self._kept["transforms"] = source, dim, found
        return found

    def _parts(self, source: Any, dim: int) -> list[tuple[str, Components, Transform]]:
        if not isinstance(self.transforms, dict):
            assert isinstance(self.transforms, Transform)
            return [("", slice(0, dim), self.transforms)]
        parts: list[tuple[str, Components, Transform]] = []
        taken = np.zeros(dim if self.transforms else 0, bool)
        for name, transform in self.transforms.items():
            index = _components(source, name)
            try:
                components = np.arange(dim)[index]
            except IndexError as error:
                raise ValueError(f"variables[{name!r}]={index!r} of D={dim}: {error}") from None
            if isinstance(index, slice) and (index.stop or 0) > dim:
                raise ValueError(
                    f"variables[{name!r}]={index!r}: expected components of a state of {dim}"
                )
            if taken[components].any():
                raise ValueError(
                    f"variables[{name!r}]={index!r} shares components with another that is "
                    f"transformed: expected one transform of each"
                )
            taken[components] = True
            chosen: Components = np.unique(components)
            if isinstance(index, slice) and index.step in (None, 1):
                chosen = slice(*index.indices(dim)[:2])
            parts.append((name, chosen, transform))
        return parts


def _components(source: Any, name: str) -> Any:
    """Return the components of a variable, as an index into (D,)."""
    named = source if isinstance(source, Mapping) else getattr(source, "slices", None)
    if named is not None:
        if name not in named:
            raise ValueError(f"transforms[{name!r}]: expected one of the variables {list(named)}")
        return named[name]
    if not callable(getattr(source, "components", None)):
        raise ValueError(
            f"variables is missing: no geometry tells the components of transforms[{name!r}]; "
            f"expected Transformed(..., variables=) with a Layout, a Sphere with variables by "
            f"name, or slices"
        )
    return source.components(name)


def _one(cycle: Cycle, b: int) -> Cycle:
    """Return one ensemble of a batch as a cycle: the first draws what it draws alone."""
    arrays = {
        name: getattr(cycle, name)[b : b + 1]
        for name in ("forecast", "previous", "y", "noise", "given")
        if getattr(cycle, name) is not None
    }
    return dataclasses.replace(cycle, **arrays, facts={}, tapers={}, tuning={})
