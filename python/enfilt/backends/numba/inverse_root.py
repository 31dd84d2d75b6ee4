"""(I + S)^(-1/2) a and (I + S)^(-1) a for symmetric positive semidefinite S, without eigenvectors.

S = Q T Q^T by Householder reflections; then the root of the tridiagonal I + T is a sum of its
shifted inverses,

    B^(-1/2) = sum_k weight_k (B + shift_k I)^(-1),

the integral (2/pi) int_0^inf (t^2 + B)^(-1) dt by the midpoint rule after the substitution t =
sc(u | k') (Hale, Higham, Trefethen 2008, "Computing A^alpha, log(A), and related matrix functions
by contour integrals", section 4). All terms are solved for side by side, in the lanes of vectors.

A library's eigensolver would be twenty lines less, but LAPACK's threads and Numba's stand in each
other's way, and Numba's door to it needs SciPy.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..problems import Array
from .options import serial

# Beyond 2^52 the condition number exceeds what float64 resolves.
_CLASSES = 52
_ACCURACY = 5e-17
# Sums of squares below this are of entries far under the last bit of I + S.
_NEGLIGIBLE = 1e-60


class Poles(NamedTuple):
    """Shifts and weights, (52, P), for eigenvalues in [1, 2^c], c = 1, 2, ...; `size`: how many.

    Behind the poles of a row stands one of shift and weight 0: the inverse itself.
    """

    shift: Array
    weight: Array
    size: Array


@functools.cache
def poles() -> Poles:
    """Return the poles of all classes of condition number."""
    classes = [_poles_within(2.0**c) for c in range(1, _CLASSES + 1)]
    size = np.array([len(shift) + 1 for shift, _ in classes])
    shifts, weights = np.zeros((2, _CLASSES, size.max()))
    for c, (shift, weight) in enumerate(classes):
        shifts[c, : len(shift)] = shift
        weights[c, : len(shift)] = weight
    for array in (shifts, weights, size):
        array.flags.writeable = False  # they are everybody's
    return Poles(shifts, weights, size)


def _poles_within(kappa: float) -> tuple[Array, Array]:
    n = math.ceil(math.log(4 / _ACCURACY) * math.log(16 * kappa) / (2 * math.pi**2))
    # Jacobi's functions of modulus k', k'^2 = 1 - 1/kappa, by the arithmetic-geometric mean
    # (Abramowitz, Stegun 16.4).
    a, b = 1.0, math.sqrt(1 / kappa)
    c = math.sqrt(1 - 1 / kappa)
    ratios: list[float] = []
    while c > 1e-17 * a and len(ratios) < 15:
        a, b, c = (a + b) / 2, math.sqrt(a * b), (a - b) / 2
        ratios.append(c / a)
    quarter = math.pi / (2 * a)
    scale = 2 * quarter / (math.pi * n)
    # The upper half by symmetry about u = K'/2, where tan loses digits.
    low = np.arange((n + 1) // 2)
    u = (low + 0.5) * quarter / n
    phi = before = 2.0 ** len(ratios) * a * u
    for ratio in reversed(ratios):
        before, phi = phi, (phi + np.arcsin(ratio * np.sin(phi))) / 2
    sn, cn = np.sin(phi), np.cos(phi)
    dn = cn / np.cos(before - phi)
    high = n - 1 - low
    shift, weight = np.empty((2, n))
    shift[low], weight[low] = (sn / cn) ** 2, scale * dn / cn**2
    shift[high], weight[high] = kappa * (cn / sn) ** 2, scale * math.sqrt(kappa) * dn / sn**2
    return shift, weight


@serial
def _dot(a: Array, b: Array) -> Any:
    total = 0.0
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@serial
def _reflect(v: Array, over_h: float, x: Array) -> None:
    """X <- (I - v v^T / h) x."""
    along = over_h * _dot(v, x)
    for j in range(x.size):
        x[j] -= along * v[j]


@serial
def reduce(s: Array, scratch: tuple[Array, Array]) -> None:
    """S -> Q^T S Q tridiagonal, for `solve`.

    Reflector i is left in row i of S, behind the diagonal.
    """
    diagonal, beside, over_h, p = scratch[0][0], scratch[0][1], scratch[0][2], scratch[0][3]
    n = diagonal.size
    for i in range(n - 2):
        v = s[i, i + 1 :]
        head = v[0]
        tail = _dot(v[1:], v[1:])
        if tail <= _NEGLIGIBLE:
            beside[i], over_h[i] = head, 0.0
            continue
        square = tail + head * head
        alpha = -math.sqrt(square) if head > 0 else math.sqrt(square)
        beside[i], over_h[i] = alpha, 1.0 / (square - alpha * head)
        v[0] = head - alpha
        for k in range(v.size):
            p[k] = over_h[i] * _dot(s[i + 1 + k, i + 1 :], v)
        _take_along(v, over_h[i], p[: v.size])
        for k in range(v.size):
            row, vk, pk = s[i + 1 + k, i + 1 :], v[k], p[k]
            for j in range(row.size):
                row[j] -= vk * p[j] + pk * v[j]
    if n > 1:
        beside[n - 2] = s[n - 2, n - 1]
    beside[n - 1] = 0.0
    for k in range(n):
        diagonal[k] = 1.0 + s[k, k]


@serial
def _take_along(v: Array, over_h: float, p: Array) -> None:
    """P <- p - (p^T v / 2h) v."""
    along = 0.5 * over_h * _dot(v, p)
    for j in range(p.size):
        p[j] -= along * v[j]


@serial
def _class_of(diagonal: Array, beside: Array) -> int:
    """Return the class of the largest eigenvalue of I + S, bounded by Gershgorin's discs."""
    largest, before = 1.0, 0.0
    for k in range(diagonal.size):
        size = abs(beside[k])
        largest = max(largest, diagonal[k] + before + size)
        before = size
    _, exponent = math.frexp(largest)
    return min(max(exponent, 1), _CLASSES) - 1


@serial
def scratch_of(members: int, poles: Poles) -> tuple[Array, Array]:
    """Return scratch for one place: vectors of the reduction, and those of the poles."""
    return np.empty((4, members)), np.empty((2 * members + 2, poles.shift.shape[1]))


@serial
def solve(
    s: Array, a: Array, poles: Poles, scratch: tuple[Array, Array], root: Array, inverse: Array
) -> None:
    """Write (I + S)^(-1/2) a to `root` and (I + S)^(-1) a to `inverse`; a is overwritten.

    `s` and `scratch` are as `reduce` left them.
    """
    vectors, chains = scratch
    diagonal, beside, over_h = vectors[0], vectors[1], vectors[2]
    n = a.size
    for i in range(n - 2):
        _reflect(s[i, i + 1 :], over_h[i], a[i + 1 :])
    number = _class_of(diagonal, beside)
    count = poles.size[number]
    shift, weight = poles.shift[number, :count], poles.weight[number, :count]
    ratio, value = chains[2 * n, :count], chains[2 * n + 1, :count]
    for p in range(count):
        ratio[p] = value[p] = 0.0
    before = 0.0
    for k in range(n):
        reduced, factor = chains[2 * k, :count], chains[2 * k + 1, :count]
        here, after, right = diagonal[k], beside[k], a[k]
        for p in range(count):
            over_pivot = 1.0 / ((here + shift[p]) - ratio[p] * before)
            value[p] = right - ratio[p] * value[p]
            ratio[p] = after * over_pivot
            reduced[p] = value[p] * over_pivot
            factor[p] = ratio[p]
        before = after
    for p in range(count):
        value[p] = 0.0
    for k in range(n - 1, -1, -1):
        reduced, factor = chains[2 * k, :count], chains[2 * k + 1, :count]
        total = 0.0
        for p in range(count):
            value[p] = reduced[p] - factor[p] * value[p]
            total += weight[p] * value[p]
        root[k], inverse[k] = total, value[count - 1]
    for i in range(n - 3, -1, -1):
        _reflect(s[i, i + 1 :], over_h[i], root[i + 1 :])
        _reflect(s[i, i + 1 :], over_h[i], inverse[i + 1 :])
