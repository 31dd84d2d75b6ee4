"""Observations of a block of components: y and 1/r^2 for each, h and its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite.ir import FunctionType, VoidType
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ..problems import Array
from .blocks import center
from .elementary import arctan_of, tanh_of
from .options import serial

# What a kernel takes of `ObservedComponents`: number of its kind, parameter, offset, stride,
# indices (none: the stride holds), y, precision, and the address of a function for blocks or 0.
Observed = tuple[int, float, int, int, Array, Array, Array, int]

#: Kinds of observation, at the numbers that `observe` knows them by.
KINDS = ("identity", "arctan", "tanh", "sigmoid", "power_integer", "power_real", "function")


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
            h = tanh_of(x[d], np.float64)
            value[d] = h
            slope[d] = (1.0 - h) * (1.0 + h)
    elif number == 3:
        for d in range(n):
            h = 0.5 + 0.5 * tanh_of(0.5 * parameter * x[d], np.float64)
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
def first_observation(observed: Observed, first: int) -> int:
    """Return the first observation of a component from `first` on."""
    _, _, offset, stride, indices, _, _, _ = observed
    if indices.size > 0:
        return int(np.searchsorted(indices, first))
    return max(0, (first - offset + stride - 1) // stride)


@serial
def component_of(observed: Observed, k: int) -> int:
    """Return the component that observation k is of."""
    _, _, offset, stride, indices, _, _, _ = observed
    return indices[k] if indices.size > 0 else offset + k * stride


@serial
def spread(observed: Observed, first: int, n: int, y: Array, weight: Array) -> int:
    """Spread the observations of a block to a y and a 1/r^2 for each component, 0 where none.

    Returns how many there are.
    """
    _, _, _, _, _, values, precision, _ = observed
    for d in range(n):
        y[d] = weight[d] = 0
    varies = 1 if precision.size > 1 else 0
    count = 0
    k = first_observation(observed, first)
    while k < values.size:
        d = component_of(observed, k) - first
        if d >= n:
            break
        if not np.isnan(values[k]):
            y[d] = values[k]
            weight[d] = precision[k * varies]
            count += 1
        k += 1
    return count


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
