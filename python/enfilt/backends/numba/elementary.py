"""Elementary functions as polynomials, which loops take as vector code.

The C library's, which Numba calls, are called a number at a time. Coefficients were fitted by
cpp/tools/fit_polynomials.py for float64, powers descending; float32 takes the same: a few terms too
many cost less than a second set. `kind` is the type of the result, float32 or float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .options import exact

# relative error 4e-17
_ATAN = np.array(
    [
        *(-0.004137480325516379, 0.015549886713814416, -0.030156876942192146),
        *(0.04236885953909514, -0.051135004468067555, 0.05851542245320213),
        *(-0.06662122756582022, 0.07691836225420381, -0.0909087574491397),
        *(0.11111109584686753, -0.1428571424423906, 0.19999999999428608, -0.33333333333330556),
    ]
)
# (exp(2 r) - 1)/(2 r) - 1 over r, relative error 2e-17
_EXPM1 = np.array(
    [
        *(2.565968556343953e-05, 0.00014144643589138122, 0.0007054692598976231),
        *(0.0031745925907899633, 0.012698412630859463, 0.04444444458319989),
        *(0.13333333333410635, 0.33333333333259135, 0.6666666666666641, 1.000000000000001),
    ]
)
# 2 exp(r), relative error 4e-18
_EXP = np.array(
    [
        *(5.004006052873412e-08, 5.526179448614509e-07, 5.511504347752044e-06),
        *(4.9602982110732004e-05, 0.00039682539162281513, 0.002777777789180586),
        *(0.016666666666917348, 0.08333333333303958, 0.33333333333332943, 1.0000000000000024),
        *(2.0, 2.0),
    ]
)
# relative error 2e-18
_ATANH = np.array(
    [
        *(0.147971321055873, 0.15313917988919654, 0.18183570238726599, 0.22222198440384103),
        *(0.2857142874394676, 0.3999999999940582, 0.6666666666666736),
    ]
)
# relative error 4e-17
_SIN = np.array(
    [
        *(6.0303303862849335e-12, -6.691199435889453e-10, 5.692257044287077e-08),
        *(-3.5988441613025057e-06, 0.00016044118532944997, -0.00468175413549386),
        *(0.07969262624619672, -0.6459640975062485, 0.5707963267948967),
    ]
)

_MANTISSA = np.uint64(52)
# Added to a number, it rounds that to an integer and leaves it in the low bits.
_SHIFT = 1.5 * 2.0**52
_LEAST = float(np.finfo(np.float64).smallest_normal)


@exact
def arctan_of(x: Any, kind: Any) -> Any:
    """Return arctan(x)."""
    # beyond 0.618: atan|x| = atan(c) + atan((|x| - c) / (1 + |x| c)) with c the golden ratio
    a = min(abs(x), kind(1e30))
    far = a > kind(0.6180339887498949)
    c = kind(1.6180339887494795) if far else kind(0)
    angle = kind(1.0172219678977366) if far else kind(0)
    t = (a - c) / (a * c + kind(1))
    z = t * t
    p = kind(_ATAN[0])
    for k in range(1, len(_ATAN)):
        p = p * z + kind(_ATAN[k])
    r = angle + (t + t * z * p)
    return -r if x < kind(0) else r


@exact
def tanh_of(x: Any, kind: Any) -> Any:
    """Return tanh(x)."""
    # tanh(a) = h/(h + 1), h = (exp(2a) - 1)/2 = 2^n g + (2^n - 1)/2, g = (exp(2r) - 1)/2; the
    # large number added rounds to an integer and leaves it in the low bits. Always in float64.
    a = min(abs(np.float64(x)), 40.0)
    shift = 1.5 * 2.0**52 + 1023
    t = a * 2.8853900817779268 + shift
    n = t - shift
    r = a - n * 0.34657359027997264
    scale = np.uint64(np.float64(t).view(np.uint64) << np.uint64(52)).view(np.float64)
    p = _EXPM1[0]
    for k in range(1, len(_EXPM1)):
        p = p * r + _EXPM1[k]
    g = r + r * r * p
    h = scale * g + (scale * 0.5 - 0.5)
    y = h / (h + 1.0)
    return kind(-y if x < 0 else y)


@exact
def exp_of(x: Any, kind: Any) -> Any:
    """Return exp(x)."""
    # 2^n exp(r), |r| <= ln(2)/2. The polynomial is 2 exp(r), lest 2^1024 be needed; below the
    # least normal number the result is 0. Always in float64.
    a: Any = np.float64(x)
    a = 709.9 if a > 709.9 else a
    a = -708.5 if a < -708.5 else a
    shift = _SHIFT + 1022.0
    t = a * 1.4426950408889634 + shift
    n = t - shift
    r = (a - n * 0.6931471805598903) - n * 5.497923018708371e-14
    scale = np.uint64(np.float64(t).view(np.uint64) << _MANTISSA).view(np.float64)
    p = _EXP[0]
    for k in range(1, len(_EXP)):
        p = p * r + _EXP[k]
    return kind(p * scale)


@exact
def log_of_normal(x: Any) -> Any:
    """Return log(x) of a normal, positive number in float64."""
    # x = 2^e (1 + f), 1 + f from sqrt(1/2) on; log(1 + f) = 2 atanh(s), s = f/(2 + f)
    sqrt_half = np.uint64(0x3FE6A09E667F3BCD)
    bits = np.float64(x).view(np.uint64) + (np.uint64(1023 << 52) - sqrt_half)
    e = np.float64(np.int64(bits >> _MANTISSA)) - 1023.0
    f = np.uint64((bits & np.uint64((1 << 52) - 1)) + sqrt_half).view(np.float64) - 1.0
    s = f / (f + 2.0)
    z = s * s
    p = _ATANH[0]
    for k in range(1, len(_ATANH)):
        p = p * z + _ATANH[k]
    return e * 0.6931471805599453 + (f - s * (f - z * p))


@exact
def log_of(x: Any, kind: Any) -> Any:
    """Return log(x)."""
    # subnormal numbers are lifted into the range of the others; always in float64
    a = np.float64(x)
    subnormal = a < _LEAST
    found = log_of_normal(a * 2.0**54 if subnormal else a)
    found = found - 37.42994775023705 if subnormal else found  # 54 ln(2)
    found = found if a < np.inf else a  # also of what is not a number
    outside = -np.inf if a == 0.0 else np.nan
    return kind(outside if a <= 0.0 else found)


@exact
def log10_of(x: Any, kind: Any) -> Any:
    """Return the logarithm to base 10."""
    return kind(log_of(x, np.float64) * 0.4342944819032518)


@exact
def sin_of_quarter_turns(r: Any) -> Any:
    """Return the sine of r quarter turns."""
    # sin(r pi/2), |r| <= 1
    z = r * r
    p = _SIN[0]
    for k in range(1, len(_SIN)):
        p = p * z + _SIN[k]
    return r + r * p
