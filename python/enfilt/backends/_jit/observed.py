"""Observations of a block of components: y and 1/r^2 for each, h and its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite.ir import FunctionType, VoidType
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ..base import Array
from .blocks import center
from .options import exact, serial

# What a kernel takes of `ObservedComponents`: number of its kind, parameter, offset, stride,
# indices (none: the stride holds), y, precision, and the address of a function for blocks or 0.
Observed = tuple[int, float, int, int, Array, Array, Array, int]

#: Kinds of observation, at the numbers that `observe` knows them by.
KINDS = ("identity", "arctan", "tanh", "sigmoid", "power_integer", "power_real", "function")

# Fitted by cpp/tools/fit_polynomials.py for float64, powers descending; relative error 4e-17 and
# 2e-17. Float32 takes the same: a few terms too many cost less than a second set.
_ATAN = np.array(
    [
        *(-0.004137480325516379, 0.015549886713814416, -0.030156876942192146),
        *(0.04236885953909514, -0.051135004468067555, 0.05851542245320213),
        *(-0.06662122756582022, 0.07691836225420381, -0.0909087574491397),
        *(0.11111109584686753, -0.1428571424423906, 0.19999999999428608, -0.33333333333330556),
    ]
)
_EXPM1 = np.array(
    [
        *(2.565968556343953e-05, 0.00014144643589138122, 0.0007054692598976231),
        *(0.0031745925907899633, 0.012698412630859463, 0.04444444458319989),
        *(0.13333333333410635, 0.33333333333259135, 0.6666666666666641, 1.000000000000001),
    ]
)


@exact
def arctan_of(x: Any, kind: Any) -> Any:
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
def tanh_of(x: Any) -> Any:
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
    return -y if x < 0 else y


def _typed_call(_context: Any, address: Any, x: Any, n: Any, value: Any, slope: Any) -> Any:
    """Call the C function ``(x, n, value, slope)`` at an address, for rows that are contiguous."""
    arrays = (x, value, slope)
    if not all(a.layout == "C" for a in arrays):
        raise TypingError("rows of a block are contiguous")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at, *rows = (arguments[k] for k in (0, 1, 3, 4))
        x_at, value_at, slope_at = (
            context.make_array(a)(context, builder, row).data
            for a, row in zip(arrays, rows, strict=True)
        )
        length = context.cast(builder, arguments[2], n, types.intp)
        operands = [x_at, length, value_at, slope_at]
        kind = FunctionType(VoidType(), [operand.type for operand in operands])
        builder.call(builder.inttoptr(at, kind.as_pointer()), operands)
        return context.get_dummy_value()

    return types.void(address, x, n, value, slope), generate


_call: Any = intrinsic(_typed_call)


@serial
def observe(observed: Observed, x: Array, n: int, value: Array, slope: Array) -> None:
    """Write h and its derivative at the first n of x; the kind is asked for once a row."""
    number, parameter = observed[0], observed[1]
    kind = x.dtype.type
    one, factor = kind(1), kind(parameter)
    if number == 0:
        for d in range(n):
            value[d] = x[d]
            slope[d] = one
    elif number == 1:
        for d in range(n):
            value[d] = arctan_of(x[d], kind)
            slope[d] = one / (one + x[d] * x[d])
    elif number == 2:
        for d in range(n):
            h = tanh_of(x[d])
            value[d] = h
            slope[d] = (1.0 - h) * (1.0 + h)
    elif number == 3:
        for d in range(n):
            h = 0.5 + 0.5 * tanh_of(0.5 * parameter * x[d])
            value[d] = h
            slope[d] = parameter * h * (1.0 - h)
    elif number == 4:
        for d in range(n):  # slope: x^(p-1) by repeated squaring, of which value holds the base
            slope[d] = one
            value[d] = x[d]
        k = int(parameter) - 1
        while k > 0:
            if k % 2 == 1:
                for d in range(n):
                    slope[d] *= value[d]
            for d in range(n):
                value[d] *= value[d]
            k //= 2
        for d in range(n):
            value[d] = slope[d] * x[d]
            slope[d] *= factor
    elif number == 6:
        _call(observed[7], x, n, value, slope)
    else:
        for d in range(n):
            a = abs(np.float64(x[d]))
            h = a**parameter
            value[d] = -h if x[d] < 0 else h
            slope[d] = parameter * a ** (parameter - 1.0)


@serial
def spread(observed: Observed, first: int, n: int, y: Array, weight: Array) -> None:
    """Spread the observations of a block to a y and a 1/r^2 for each component, 0 where none."""
    _, _, offset, stride, indices, values, precision, _ = observed
    for d in range(n):
        y[d] = weight[d] = 0
    varies = 1 if precision.size > 1 else 0
    if indices.size > 0:
        k = int(np.searchsorted(indices, first))
    else:
        k = max(0, (first - offset + stride - 1) // stride)
    while k < values.size:
        d = (indices[k] if indices.size > 0 else offset + k * stride) - first
        if d >= n:
            break
        if not np.isnan(values[k]):
            y[d] = values[k]
            weight[d] = precision[k * varies]
        k += 1


@serial
def observed_anomalies(
    observed: Observed, x: Array, weight: Array, members: int, n: int, scratch: Array, to: Array
) -> None:
    """Write h(x_j) - mean_j h(x_j) on the observed components of a block, 0 elsewhere."""
    for j in range(members):
        row = to[j]
        observe(observed, x[j], n, row, scratch)
        for d in range(n):
            row[d] = row[d] if weight[d] > 0 else x.dtype.type(0)
    center(to, members, n, scratch)
