"""The contract that every filter keeps, as checks that run on any filter: your own, too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..observation import Observation
from . import arguments, objects, values
from .problem import Problem, default

__all__ = ["Check", "check_filter", "checks"]

_Test = Callable[[Problem], None]

_OF_ALL: tuple[_Test, ...] = (
    values.shapes_and_dtypes,
    values.batches,
    values.out,
    values.inputs,
    values.layouts,
    values.seeds,
    values.missing_observations,
    values.masked_observations,
    values.nothing_observed,
    values.extremes,
    arguments.dtypes_refused,
    arguments.shapes_refused,
    arguments.values_refused,
    arguments.masks_refused,
    arguments.others_refused,
    objects.pickling,
)
#: What subclasses of `enfilt.filters.EnsembleFilter` promise beyond a method `analysis`.
_OF_OURS: tuple[_Test, ...] = (
    values.noise,
    values.observed_values,
    objects.memory,
    objects.restoring,
    objects.frozen,
    objects.names,
)


@dataclass(frozen=True)
class Check:
    """One part of the contract, to be called.

    Attributes
    ----------
    name : str
        Of this part, such as ``"batches"``.
    contract : str
        What it says, in one sentence.

    Raises
    ------
    AssertionError
        When called, if the filter does not keep it; the message says how.
    """

    name: str
    contract: str
    _test: _Test = field(repr=False)
    _problem: Problem = field(repr=False)

    def __call__(self) -> None:
        try:
            self._test(self._problem)
        except AssertionError as error:
            raise AssertionError(f"{self.name}: {error}") from error.__cause__
        except Exception as error:
            raise AssertionError(
                f"{self.name}: {type(error).__name__}: {error}; expected: {self.contract}"
            ) from error

    def __str__(self) -> str:
        return self.name


def checks(
    filt: Any,
    *,
    obs: Observation | None = None,
    dim: int | None = None,
    members: int = 7,
) -> Iterator[Check]:
    """Yield the parts of the contract, each to be called: for pytest's ``parametrize``.

    Parameters
    ----------
    filt, obs, dim, members
        As of `check_filter`.

    Yields
    ------
    Check

    Examples
    --------
    >>> import enfilt as ef
    >>> [check.name for check in ef.testing.checks(ef.ETKF())][:3]
    ['shapes_and_dtypes', 'batches', 'out']
    """
    problem = default(filt, obs, dim, members)
    for test in (*_OF_ALL, *(_OF_OURS if problem.is_ours else ())):
        contract = (test.__doc__ or "").split("\n")[0].removeprefix("Check that ")
        yield Check(test.__name__, contract, test, problem)


def check_filter(
    filt: Any,
    *,
    obs: Observation | None = None,
    dim: int | None = None,
    members: int = 7,
    skip: Collection[str] = (),
) -> None:
    """Check that a filter keeps the contract that every filter of the library keeps.

    It runs some hundred small analyses. With it your own filter goes wherever ours go: into a
    `TwinExperiment`, into `enfilt.tune` and comparisons, and into other people's programs.

    Parameters
    ----------
    filt : EnsembleFilter
        A subclass of `enfilt.filters.EnsembleFilter`; or any object with a method ``analysis`` of
        the same signature, of which less is asked: it has no ``facts``, its options may change.
    obs : Observation, optional
        What to assimilate. Default: every second of 10 components on a ring, each with an error of
        its own.
    dim : int, optional
        D; needed beside an `obs` that has no grid.
    members : int
        N, at least 2.
    skip : collection of str
        Names of checks to leave out, for what your filter is known not to do.

    Raises
    ------
    AssertionError
        If the filter does not keep it; the message says which part, what was found, and what was
        expected.
    TypeError, ValueError
        If `obs` or `dim` does not fit, or `skip` holds a name that no check has.

    Examples
    --------
    >>> import enfilt as ef
    >>> ef.testing.check_filter(ef.ETKF(inflation=1.1))

    A filter that forgets its seed:

    >>> import numpy as np
    >>> class Restless(ef.ETKF):
    ...     def _update(self, cycle, out):
    ...         super()._update(cycle, out)
    ...         out += 1e-3 * np.random.default_rng().standard_normal(out.shape)
    >>> try:
    ...     ef.testing.check_filter(Restless())
    ... except AssertionError as error:
    ...     print(str(error).split(";")[-1])
     expected what the ensemble gives alone
    """
    found = list(checks(filt, obs=obs, dim=dim, members=members))
    names = {check.name for check in found}
    if unknown := sorted(set(skip) - names):
        raise ValueError(f"skip={unknown}: expected names of checks, of {sorted(names)}")
    for check in found:
        if check.name not in skip:
            check()
