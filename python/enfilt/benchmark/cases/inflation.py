"""Inflation, and the innovations that the adaptive one is estimated from."""

from __future__ import annotations

import functools

import numpy as np

from ... import backends
from ...backends import Backend
from ...backends.problems import InflationProblem
from ...observation import Observation
from ...operators import Arctan, Identity, Operator
from ..case import Array, Case, Peer, Problem, Size

_STD = 0.5


def _ensemble(size: Size, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return (3.0 + rng.standard_normal((1, size.members, size.dim))).astype(size.dtype)


def relaxation(size: Size, kind: str) -> Problem:
    """Return a relaxation to the forecast, in place, as in a filter."""
    kernels, plain = backends.get("cpp"), backends.get("numpy")
    amount = np.array([0.3], size.dtype)
    start, forecast = _ensemble(size, 0), _ensemble(size, 1)
    state, other = start.copy(), start.copy()

    def run(by: Backend, x: Array, out: Array) -> Array:
        by.inflate(InflationProblem(kind, amount, x, forecast), out)
        result: Array = out[0]
        return result

    def ours(out: Array | None) -> Array:
        return (
            run(kernels, start, np.empty_like(start)) if out is None else run(kernels, state, state)
        )

    return Problem(ours, (Peer("NumPy", lambda: lambda: run(plain, other, other)),))


def widening(size: Size) -> Problem:
    """Return a forecast with the variance of its components doubled."""
    kernels, plain = backends.get("cpp"), backends.get("numpy")
    x, factor = _ensemble(size, 0), np.array([2.0])

    def run(by: Backend, out: Array | None) -> Array:
        result: Array = np.empty_like(x[0]) if out is None else out
        by.widen(x, factor, result[None])
        return result

    return Problem(
        lambda out: run(kernels, out), (Peer("NumPy", lambda: lambda: run(plain, None)),)
    )


def innovations(size: Size, operator: Operator) -> Problem:
    """Return what the innovations of every component tell of the forecast's variance."""
    kernels, plain = backends.get("cpp"), backends.get("numpy")
    x = _ensemble(size, 0)[0]
    observed = Observation(operator, _STD).components(size.dim, np.zeros(size.dim, size.dtype))
    assert observed is not None  # of such operators

    def run(by: Backend) -> Array:
        return np.array([by.innovations(x, observed)])

    return Problem(lambda _: run(kernels), (Peer("NumPy", lambda: lambda: run(plain)),))


def _read_and_written(size: Size) -> float:
    return 2.0 * size.bytes


def _with_forecast(size: Size) -> float:
    return 3.0 * size.bytes


def _with_observations(size: Size) -> float:
    return size.bytes * (1 + 1 / size.members)


_FULL, _QUICK, _GOAL = Size(20, 1_000_000), Size(5, 3_000), 1 / 1.2
CASES = (
    Case("rtpp", "RTPP, in place", _FULL, _QUICK, functools.partial(relaxation, kind="rtpp"),
         _with_forecast, _GOAL),
    Case("rtps", "RTPS, in place", _FULL, _QUICK, functools.partial(relaxation, kind="rtps"),
         _with_forecast, _GOAL),
    Case("widen", "Adaptive: the forecast widened", _FULL, _QUICK, widening, _read_and_written,
         _GOAL),
    Case("innovations", "Adaptive: innovations, identity", _FULL, _QUICK,
         functools.partial(innovations, operator=Identity()), _with_observations, _GOAL),
    Case("innovations-arctan", "Adaptive: innovations, arctan", _FULL, _QUICK,
         functools.partial(innovations, operator=Arctan()), _with_observations),
)  # fmt: skip
