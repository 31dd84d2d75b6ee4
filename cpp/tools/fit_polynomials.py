"""Fit the polynomials of cpp/include/enfilt/vecmath.hpp and print their coefficient arrays.

Each one minimizes the relative error of the finished function: a weighted least squares fit at
Chebyshev nodes in 60 digits. Coefficients are rounded to the dtype one after the other, lowest
power first, and the rest are fitted again each time, so that they make up for the rounding.

Run: python fit_polynomials.py   (needs numpy and mpmath)
"""

from collections.abc import Callable
from textwrap import fill
from typing import NamedTuple

import numpy as np
from mpmath import atan, atanh, cos, exp, expm1, fabs, log, log1p, matrix, mp, mpf, pi, sin, sqrt

mp.dps = 60
Real = Callable[[mpf], mpf]


class Fit(NamedTuple):
    """sum_k c_k x^k ~ target(x) on [low, high]; weight turns its error into a relative one."""

    name: str
    target: Real
    weight: Real
    low: mpf
    high: mpf
    terms: tuple[int, int]  # how many coefficients float and double get; 0: not needed
    lead: tuple[int, ...] = ()  # exact leading coefficients to print before the fitted ones
    factor: int = 1  # the printed coefficients are this many times the fitted ones


def per_root(f: Real) -> Real:
    """Return f(t)/t as a function of z = t^2."""
    return lambda z: f(sqrt(z)) / sqrt(z)


def quarter_sine(r: mpf) -> mpf:
    """Take the sine of r quarter turns."""
    return sin(pi * r / 2)


LN2 = log(2)
S = (sqrt(2) - 1) ** 2  # |s| <= S in s = f/(2 + f), 1 + f in [1/sqrt(2), sqrt(2)]
GOLDEN = (1 + sqrt(5)) / 2  # about the pivot of atan(); 1/GOLDEN = GOLDEN - 1
FITS = [
    # exp(r) = 1 + r p(r); twice that is printed, see exp()
    Fit("exp", lambda r: expm1(r) / r, lambda r: r / exp(r), -LN2 / 2, LN2 / 2, (6, 11), (2,), 2),
    # (exp(2r) - 1)/2 = r + r^2 p(r)
    Fit(
        "expm1",
        lambda r: (expm1(2 * r) / 2 - r) / r**2,
        lambda r: 2 * r**2 / expm1(2 * r),
        -LN2 / 4,
        LN2 / 4,
        (5, 10),
    ),
    # log(1 + f) = f + f^2 p(f)
    Fit(
        "log",
        lambda f: (log1p(f) - f) / f**2,
        lambda f: f**2 / log1p(f),
        sqrt(mpf(1) / 2) - 1,
        sqrt(2) - 1,
        (8, 0),
    ),
    # log(1 + f) = 2 atanh(s) = 2 s + s^3 p(s^2)
    Fit(
        "atanh",
        lambda z: (per_root(atanh)(z) - 1) * 2 / z,
        lambda z: z / per_root(atanh)(z) / 2,
        mpf(0),
        S**2,
        (0, 7),
    ),
    # atan(t) = t + t z p(z), z = t^2
    Fit(
        "atan",
        lambda z: (per_root(atan)(z) - 1) / z,
        lambda z: z / per_root(atan)(z),
        mpf(0),
        1 / GOLDEN**2,
        (5, 13),
    ),
    # sin(pi r/2) = r + r p(r^2)
    Fit(
        "sin",
        lambda z: per_root(quarter_sine)(z) - 1,
        lambda z: 1 / per_root(quarter_sine)(z),
        mpf(0),
        mpf(1),
        (5, 9),
    ),
]


def rounded(x: mpf, dtype: type) -> mpf:
    """Round x to the nearest number of the dtype (twice rounded at worst, which a fit absorbs)."""
    return mpf(float(dtype(float(x))))


def fit(job: Fit, terms: int, dtype: type) -> tuple[list[mpf], mpf]:
    """Find the rounded coefficients and the largest relative error they leave."""
    nodes = [(1 - cos(pi * (2 * i + 1) / (2 * 8 * terms))) / 2 for i in range(8 * terms)]
    x = [job.low + (job.high - job.low) * t for t in nodes]
    w = [fabs(job.weight(v)) for v in x]
    rest = [job.target(v) for v in x]
    found: list[mpf] = []
    for k in range(terms):
        rows = [[wi * xi**j for j in range(k, terms)] for wi, xi in zip(w, x, strict=True)]
        rhs = matrix([wi * ri for wi, ri in zip(w, rest, strict=True)])
        found.append(rounded(mp.lu_solve(matrix(rows), rhs)[0], dtype))
        rest = [ri - found[k] * xi**k for ri, xi in zip(rest, x, strict=True)]
    return found, max(fabs(wi * ri) for wi, ri in zip(w, rest, strict=True))


def pivot(dtype: type) -> tuple[mpf, mpf]:
    """Find the c just below GOLDEN whose arc tangent lies closest to a number of the dtype."""
    below = dtype(float(GOLDEN)) - np.arange(1, 4000) * np.finfo(dtype).eps
    c = min((mpf(float(v)) for v in below), key=lambda v: fabs(atan(v) - rounded(atan(v), dtype)))
    return c, rounded(atan(c), dtype)


def split_ln2(dtype: type) -> tuple[mpf, mpf]:
    """log(2) as high + low; n high is exact for every exponent n of the dtype."""
    info = np.finfo(dtype)
    ulps = mpf(2) ** (info.nmant + 1 - int(info.iexp))
    high = mp.nint(LN2 * ulps) / ulps
    return high, rounded(LN2 - high, dtype)


def literal(x: mpf, dtype: type) -> str:
    """Write x as the shortest C++ literal that reads back exactly."""
    return str(dtype(float(x))) + ("f" if dtype is np.float32 else "")


def main() -> None:
    """Print everything, float first."""
    for index, dtype in enumerate((np.float32, np.float64)):
        print(f"\n{dtype.__name__}")
        print("ln2_high, ln2_low =", ", ".join(literal(v, dtype) for v in split_ln2(dtype)))
        print("atan_pivot, atan_angle =", ", ".join(literal(v, dtype) for v in pivot(dtype)))
        for job in FITS:
            if job.terms[index]:
                found, error = fit(job, job.terms[index], dtype)
                values = [*map(mpf, job.lead), *(job.factor * v for v in found)]
                print(f"{job.name}: relative error {float(error):.1e}")
                print(fill(", ".join(literal(v, dtype) for v in values), 91))


if __name__ == "__main__":
    main()
