"""The small analysis that the checks of a filter run on, and what they say when it goes wrong."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..filters import EnsembleFilter
from ..grids import RegularGrid, as_grid
from ..observation import Observation
from ..operators import Every, Subset

Array = npt.NDArray[Any]

#: Seed of the inputs, and of the analyses where a check asks for no other.
SEED = 14
#: How far two analyses may be apart that sum in another order, over the largest number of both.
CLOSE = 1e-6
#: What a call may raise that it was given something wrong, or can't compute it.
REFUSALS = (TypeError, ValueError, FloatingPointError)


@dataclass(frozen=True)
class Problem:
    """A filter, and what it is to assimilate.

    Attributes
    ----------
    filt : EnsembleFilter, or any object with such an `analysis`
    obs : Observation
    dim, members : int
        D and N.
    """

    filt: Any
    obs: Observation
    dim: int
    members: int

    @property
    def size(self) -> int:
        """m, the number of observations."""
        return self.obs.size(self.dim)

    @property
    def is_ours(self) -> bool:
        """Whether the filter is a subclass of the library's base, which promises more."""
        return isinstance(self.filt, EnsembleFilter)

    @property
    def draws_noise_alone(self) -> bool:
        """Whether ``noise=`` takes the place of all that the filter draws."""
        return isinstance(self.filt, EnsembleFilter) and not self.filt._draws_beside_noise

    def noise_shape(self, size: int | None = None) -> tuple[int, ...] | None:
        """Return the shape of ``noise=`` of one ensemble; None where the filter tells none."""
        if not isinstance(self.filt, EnsembleFilter):
            return None
        return self.filt._noise_shape_observed(self.members, self.dim, size or self.size)

    def inputs(self, dtype: npt.DTypeLike = np.float64, batch: int | None = None) -> dict[str, Any]:
        """Return arguments of `analysis` without a fault: the same in every call."""
        rng = np.random.default_rng(SEED)
        lead = () if batch is None else (batch,)
        previous = rng.standard_normal((*lead, self.members, self.dim))
        forecast = previous + 0.3 * rng.standard_normal(previous.shape)
        truths = forecast.mean(axis=-2) + 0.5 * rng.standard_normal((*lead, self.dim))
        y = np.array([self.obs.simulate(t, rng) for t in truths.reshape(-1, self.dim)])
        found = {"forecast": forecast, "previous": previous, "y": y.reshape(*lead, self.size)}
        if (shape := self.noise_shape()) is not None:
            found["noise"] = rng.standard_normal((*lead, *shape))
        return {name: array.astype(dtype) for name, array in found.items()} | {"obs": self.obs}

    def analysis(self, arguments: dict[str, Any], **changes: Any) -> Array:
        """Return the analysis by a filter that remembers nothing, from the same seed."""
        if hasattr(self.filt, "reset"):
            self.filt.reset()
        result: Array = self.filt.analysis(**({"rng": SEED} | arguments | changes))
        return result

    def observing(self, seen: Array) -> tuple[Problem, dict[str, Any]]:
        """Return the same problem with some of the observations only, and its arguments."""
        locations, r = self.obs.locations, self.obs.r
        correlated = self.obs.covariance is not None
        obs = dataclasses.replace(
            self.obs,
            operator=Subset(seen) @ self.obs.h,
            std=None if correlated else r[seen] if r.ndim else self.obs.std,
            covariance=self.obs.error_covariance(seen, self.size) if correlated else None,
            locations=None if locations is None else np.asarray(locations)[seen],
        )
        less, arguments = dataclasses.replace(self, obs=obs), self.inputs()
        arguments |= {"obs": obs, "y": arguments["y"][seen]}
        mine, others = self.noise_shape(), self.noise_shape(len(seen))
        if mine is not None and others is not None and mine != others:
            axis = next(i for i, n in enumerate(mine) if n != others[i])
            arguments["noise"] = np.take(arguments["noise"], seen, axis)
        return less, arguments


def default(filt: Any, obs: Observation | None, dim: int | None, members: int) -> Problem:
    """Return the problem of a filter, with what the caller gave of it."""
    if obs is None:
        dim = 10 if dim is None else dim
        std = 0.5 + 0.1 * np.arange(Every(2).size(dim))
        obs = Observation(Every(2), std, grid=RegularGrid((dim,)))
    elif not isinstance(obs, Observation):
        raise TypeError(f"obs={obs!r}: expected an enfilt.Observation")
    elif dim is None:
        if obs.grid is None:
            raise ValueError("dim is missing: obs has no grid that would tell D")
        dim = as_grid(obs.grid).size
    return Problem(filt, obs, dim, members)


def fail(found: str, expected: str) -> NoReturn:
    """Say which part of the contract is broken."""
    raise AssertionError(f"{found}; expected {expected}")


def same(found: Array, wanted: Array, what: str, expected: str) -> None:
    """Check that two arrays have the same bits."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        fail(f"{what} is {_kind(found)}", f"{_kind(wanted)}: {expected}")
    if found.tobytes() != wanted.tobytes():
        unequal = np.argwhere(~((found == wanted) & (np.signbit(found) == np.signbit(wanted))))
        at = tuple(unequal[0]) if len(unequal) else (0,) * found.ndim
        where = ", ".join(map(str, at))
        fail(
            f"{what}[{where}] is {found[at]!r} in place of {wanted[at]!r} "
            f"({len(unequal)} of {found.size} numbers differ)",
            expected,
        )


def close(found: Array, wanted: Array, what: str, expected: str) -> None:
    """Check that two arrays are equal to rounding."""
    if found.shape != wanted.shape:
        fail(f"{what} is {_kind(found)}", f"{_kind(wanted)}: {expected}")
    apart = float(np.max(np.abs(found - wanted)))
    if not apart <= CLOSE * float(np.max(np.abs(wanted))):
        fail(f"{what} is up to {apart:.3g} away", expected)


def untouched(arrays: dict[str, Any], copies: dict[str, Array], when: str) -> None:
    """Check that no input was written to."""
    for name, copy in copies.items():
        same(arrays[name], copy, f"{when}, {name}", "no input to be written to")


def copies_of(arguments: dict[str, Any]) -> dict[str, Array]:
    """Return copies of the arrays among arguments."""
    return {k: v.copy() for k, v in arguments.items() if isinstance(v, np.ndarray)}


def refused(
    problem: Problem, arguments: dict[str, Any], name: str, value: Any, why: str, shown: str = ""
) -> None:
    """Check that an argument is refused by an error with its name, and that nothing is written."""
    given = arguments | {name: value}
    given.setdefault("out", np.full_like(arguments["forecast"], 7))
    copies = copies_of(given)
    wanted = f"a TypeError or ValueError whose message names {shown or name}"
    try:
        problem.analysis(given)
    except REFUSALS as error:
        if not re.search(rf"\b{shown or name}\b", str(error)):
            fail(f"{why}: the error says {str(error)!r}", wanted)
    except Exception as error:
        raise AssertionError(
            f"{why}: {type(error).__name__}: {error}; expected {wanted}"
        ) from error
    else:
        fail(f"{why} was taken without a word", wanted)
    untouched(given, copies, f"after the error of {why}")


def _kind(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"
