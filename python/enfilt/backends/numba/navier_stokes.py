"""Two-dimensional flow for the Numba backend: Chorin's projection, a state to a thread.

As in the compiled core (cpp/include/enfilt/navier_stokes.hpp), but with one pass over memory for
each iteration of the pressure. A field is n + 2 rows of n + 2 cells, its neighbours around it.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..problems import Array
from .options import parallel, serial


@serial
def _close(field: Array, j: int, n: int) -> None:
    """Write the periodic neighbours of row j; where it is the first or last, its image too."""
    field[j, 0], field[j, n + 1] = field[j, n], field[j, 1]
    if j == 1 or j == n:
        image = n + 1 if j == 1 else 0
        row, to = field[j], field[image]
        for i in range(n + 2):
            to[i] = row[i]


@serial
def _fetch(x: Array, n: int, field: Array) -> None:
    for j in range(1, n + 1):
        row, to = x[(j - 1) * n : j * n], field[j, 1:]
        for i in range(n):
            to[i] = row[i]
        _close(field, j, n)


@serial
def _deliver(field: Array, n: int, out: Array) -> None:
    for j in range(1, n + 1):
        row, to = field[j, 1:], out[(j - 1) * n : j * n]
        for i in range(n):
            to[i] = row[i]


@serial
def _predict(
    field: Array,
    u: Array,
    v: Array,
    n: int,
    advection: float,
    diffusion: float,
    push: Array,
    out: Array,
) -> None:
    """Write field + dt (-u field_x - v field_y + viscosity Laplacian) + push."""
    four = field.dtype.type(4)
    for j in range(1, n + 1):
        row, south, north, to = field[j], field[j - 1, 1:], field[j + 1, 1:], out[j, 1:]
        uj, vj, force = u[j, 1:], v[j, 1:], push[j - 1]
        for i in range(n):
            carried = uj[i] * (row[i + 2] - row[i]) + vj[i] * (north[i] - south[i])
            spread = (row[i + 2] + row[i]) + (south[i] + north[i]) - four * row[i + 1]
            to[i] = row[i + 1] - advection * carried + diffusion * spread + force
        _close(out, j, n)


@serial
def _iterate(p: Array, b: Array, n: int, out: Array) -> None:
    """Write one iteration, (sum of the four neighbours) / 4 - b."""
    quarter = p.dtype.type(0.25)
    for j in range(1, n + 1):
        row, south, north = p[j], p[j - 1, 1:], p[j + 1, 1:]
        bj, to = b[j - 1], out[j, 1:]
        for i in range(n):
            to[i] = quarter * ((row[i] + row[i + 2]) + (south[i] + north[i])) - bj[i]
        _close(out, j, n)


@serial
def _step(
    fields: Array, b: Array, n: int, iterations: int, factors: Array, push: Array, still: Array
) -> None:
    """Step once; fields are p, another p, u, v, u*, v*, and p is left in the first."""
    p, other, u, v, us, vs = fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]
    advection, diffusion, source = factors[0], factors[1], factors[2]
    _predict(u, u, v, n, advection, diffusion, push, us)
    _predict(v, u, v, n, advection, diffusion, still, vs)
    for j in range(1, n + 1):
        row, south, north, to = us[j], vs[j - 1, 1:], vs[j + 1, 1:], b[j - 1]
        for i in range(n):
            to[i] = source * ((row[i + 2] - row[i]) + (north[i] - south[i]))
    for k in range(iterations):
        if k % 2 == 0:
            _iterate(p, b, n, other)
        else:
            _iterate(other, b, n, p)
    if iterations % 2 == 1:
        for j in range(n + 2):
            row, to = other[j], p[j]
            for i in range(n + 2):
                to[i] = row[i]
    for j in range(1, n + 1):
        row, south, north = p[j], p[j - 1, 1:], p[j + 1, 1:]
        uj, vj, usj, vsj = u[j, 1:], v[j, 1:], us[j, 1:], vs[j, 1:]
        for i in range(n):
            uj[i] = usj[i] - advection * (row[i + 2] - row[i])
            vj[i] = vsj[i] - advection * (north[i] - south[i])
        _close(u, j, n)
        _close(v, j, n)


@parallel
def step_states(
    x: Array,
    out: Array,
    n: int,
    iterations: int,
    factors: Array,
    push: Array,
    steps: int,
    workers: int,
) -> None:
    """Step rows (M, 3 n n); `push` (n,) is dt times the forcing of u; `out` may be `x`."""
    for worker in prange(workers):
        fields = np.zeros((6, n + 2, n + 2), x.dtype)
        b = np.zeros((n, n), x.dtype)
        still = np.zeros(n, x.dtype)
        cells = n * n
        for member in range(worker * len(x) // workers, (worker + 1) * len(x) // workers):
            for variable, field in ((0, 0), (1, 2), (2, 3)):
                part = x[member, variable * cells : (variable + 1) * cells]
                _fetch(part, n, fields[field])
            for _ in range(steps):
                _step(fields, b, n, iterations, factors, push, still)
            for variable, field in ((0, 0), (1, 2), (2, 3)):
                part = out[member, variable * cells : (variable + 1) * cells]
                _deliver(fields[field], n, part)
