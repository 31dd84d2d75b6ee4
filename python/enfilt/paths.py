"""Affine Gaussian paths from a start to the forecast distribution.

Conditioned on the pair (x0_j, x1_j) of a previous analysis member and its forecast, the path is
z_t ~ N(a1(t) x1_j + a0(t) x0_j, s(t)^2 I), t from 0 to 1. A path is a value of one type: another
one is an `AffinePath` of your own, or a function registered in `PATHS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from . import _checks
from .backends import Stage

Function = Callable[[float], float]


@dataclass(frozen=True)
class AffinePath:
    """A path by its coefficients and their derivatives in t.

    Parameters
    ----------
    name : str
        For messages.
    a1, a0, s : callable
        Coefficients of the forecast member, of the previous analysis member, and the width, each
        a function of t in [0, 1]; s is above zero.
    da1, da0, ds : callable
        Their derivatives.
    uses_previous : bool
        Whether a0 is other than zero anywhere.

    Examples
    --------
    A straight path of constant width from the previous analysis to the forecast:

    >>> import enfilt as ef
    >>> path = ef.AffinePath(
    ...     "bridge",
    ...     a1=lambda t: t, a0=lambda t: 1 - t, s=lambda t: 0.1,
    ...     da1=lambda t: 1.0, da0=lambda t: -1.0, ds=lambda t: 0.0,
    ...     uses_previous=True,
    ... )
    >>> ef.EnFF(path=path).steps
    19
    """

    name: str
    a1: Function
    a0: Function
    s: Function
    da1: Function
    da0: Function
    ds: Function
    uses_previous: bool = False

    def __post_init__(self) -> None:
        for name in ("a1", "a0", "s", "da1", "da0", "ds"):
            if not callable(function := getattr(self, name)):
                raise TypeError(f"{name}={function!r}: expected a function of t")

    def stage(self, t: float, strength: float = 0.0) -> Stage:
        """Return what kernels need at time t: b = a' - (s'/s) a, and so on.

        Raises
        ------
        TypeError, ValueError
            If t is not in [0, 1] or `strength` below zero, a function returns no finite number, or
            s none above zero whose square is a number.
        """
        t = _checks.number("t", t, least=0, most=1)
        strength = _checks.number("strength", strength, least=0)
        a1, a0, da1, da0, ds = (
            _checks.number(f"{name}({t}) of path={self.name!r}", getattr(self, name)(t))
            for name in ("a1", "a0", "da1", "da0", "ds")
        )
        # squares of it are numbers, too
        s = _checks.number(f"s({t}) of path={self.name!r}", self.s(t), above=1e-150, most=1e150)
        ratio = ds / s
        return Stage(
            a1=a1,
            a0=a0,
            half_precision=0.5 / (s * s),
            ratio=ratio,
            b1=da1 - ratio * a1,
            b0=da0 - ratio * a0,
            remaining=1 - t,
            strength=strength,
        )


# Coefficients are values, not functions within functions: such a path pickles, and equals another.


@dataclass(frozen=True)
class _Line:
    """``start + slope t``."""

    start: float
    slope: float = 0.0

    def __call__(self, t: float) -> float:
        return self.start + self.slope * t


_ZERO, _ONE, _TIME = _Line(0.0), _Line(1.0), _Line(0.0, 1.0)


@dataclass(frozen=True)
class _ExplodingWidth:
    """s of the path ``ve``, s^2 = low^2 (growth - 1)/(2 log_ratio)."""

    low: float
    log_ratio: float
    rate: float

    def growth(self, t: float) -> float:
        return math.exp(2 * self.log_ratio * (1 - self.rate * t))

    def __call__(self, t: float) -> float:
        return self.low * math.sqrt((self.growth(t) - 1) / (2 * self.log_ratio))


@dataclass(frozen=True)
class _ExplodingSlope:
    """Its derivative, with growth' = -2 log_ratio rate growth."""

    s: _ExplodingWidth

    def __call__(self, t: float) -> float:
        s = self.s
        return -0.5 * (s.low * s.low) * s.rate * s.growth(t) / s(t)


def optimal_transport(sigma_min: float = 0.01) -> AffinePath:
    """Return the path ``ot``, a straight line from N(0, I) to each forecast member.

    a1 = t, s = 1 - (1 - sigma_min) t (Lipman et al. 2022, arXiv:2210.02747, eq. 20).
    """
    sigma = _checks.number("sigma_min", sigma_min, above=0)
    return AffinePath(
        "ot",
        a1=_TIME,
        a0=_ZERO,
        s=_Line(1.0, sigma - 1),
        da1=_ONE,
        da0=_ZERO,
        ds=_Line(sigma - 1),
    )


def filtering_to_predictive(sigma_min: float = 0.01) -> AffinePath:
    """Return the path ``f2p``, from each previous analysis member to its forecast.

    a1 = t, a0 = 1 - t, s = sigma_min (Transue et al. 2025, arXiv:2508.13313).
    """
    sigma = _checks.number("sigma_min", sigma_min, above=0)
    return AffinePath(
        "f2p",
        a1=_TIME,
        a0=_Line(1.0, -1.0),
        s=_Line(sigma),
        da1=_ONE,
        da0=_Line(-1.0),
        ds=_ZERO,
        uses_previous=True,
    )


def variance_exploding(
    sigma_min: float = 1.0, sigma_max: float = 25.0, t_min: float = 1e-3
) -> AffinePath:
    """Return the path ``ve``, the reversed variance-exploding diffusion.

    a1 = 1, s^2 = sigma_min^2 ((sigma_max/sigma_min)^(2 tau) - 1) / (2 ln(sigma_max/sigma_min)),
    tau = 1 - (1 - t_min) t (Song et al. 2020, arXiv:2011.13456, eq. 30).
    """
    low = _checks.number("sigma_min", sigma_min, above=0)
    high = _checks.number("sigma_max", sigma_max, above=0)
    if low >= high:
        raise ValueError(f"sigma_min={low}: expected a number below sigma_max={high}")
    log_ratio = math.log(high / low)
    rate = 1 - _checks.number("t_min", t_min, above=0, most=0.5)
    s = _ExplodingWidth(low, log_ratio, rate)
    return AffinePath("ve", a1=_ONE, a0=_ZERO, s=s, da1=_ZERO, da0=_ZERO, ds=_ExplodingSlope(s))


#: Paths by name, each a function of sigma_min.
PATHS: dict[str, Callable[..., AffinePath]] = {
    "ot": optimal_transport,
    "f2p": filtering_to_predictive,
    "ve": variance_exploding,
}


def as_path(path: str | AffinePath, sigma_min: float | None) -> AffinePath:
    """Return the path of a name, or the path given.

    Raises
    ------
    ValueError
        If the name is not known, or `sigma_min` is not above zero or stands beside a path that
        has its own.
    """
    if isinstance(path, AffinePath):
        if sigma_min is not None:
            raise ValueError(
                f"sigma_min={sigma_min!r}: expected None, the path {path.name!r} has its own width"
            )
        return path
    make = PATHS[_checks.choice("path", path, PATHS)]
    return make() if sigma_min is None else make(sigma_min)
