"""What an analysis refuses: each by an error that names the argument, with nothing written to."""

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Array, Problem, copies_of, refused


def dtypes_refused(p: Problem) -> None:
    """Check that other dtypes than float32 and float64, and ensembles of both, are errors."""
    arguments = p.inputs()
    kinds: list[Any] = [np.float16, np.int64, bool, complex, object, np.longdouble, ">f8", "S8"]
    for name, array in copies_of(arguments).items():
        for kind in kinds if name in ("forecast", "y") else kinds[:2]:
            refused(p, arguments, name, array.astype(kind), f"{name} of dtype {np.dtype(kind)}")
        if name not in ("forecast", "y"):  # which is rounded to the ensemble's
            single = array.astype(np.float32)
            refused(p, arguments, name, single, f"{name} of float32 beside a forecast of float64")
    single = np.empty_like(arguments["forecast"], np.float32)
    refused(p, arguments, "out", single, "out of float32 for a forecast of float64")
    refused(p, arguments, "forecast", "ensemble", "a text as forecast")
    refused(p, arguments, "forecast", [[1.0], [1.0, 2.0]], "a ragged list as forecast")


def shapes_refused(p: Problem) -> None:
    """Check that arrays of other shapes are errors, also one member, and an empty batch."""
    n, d, m = p.members, p.dim, p.size
    one, many = p.inputs(), p.inputs(batch=2)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "forecast": [(), (d,), (1, 1, n, d), (0, d), (n, 0), (1, d), (0, n, d), (2, 0, d)],
        "y": [(), (m + 1,), (m, 1), (1, m), (0,)],
        "previous": [(), (n - 1, d), (n, d + 1), (1, n, d), (d, n + 1)],
        "out": [(n, d + 1), (1, n, d), (n * d,)],
    }
    if "noise" in one:
        shapes["noise"] = [(), (1, *one["noise"].shape), (*one["noise"].shape[:-1], 1)]
    for name, wrong in shapes.items():
        for shape in wrong:
            refused(p, one, name, np.zeros(shape), f"{name} of shape {shape}")
    for name, array in copies_of(many).items():
        if name != "forecast":
            alone = np.zeros((3, *array.shape[1:]))
            refused(p, many, name, alone, f"{name} of shape {alone.shape} with a batch of 2")
    refused(p, many, "out", np.zeros((n, d)), "out of one ensemble with a batch")


def values_refused(p: Problem) -> None:
    """Check that NaN and infinities are errors anywhere but NaN in y."""
    for arguments in (p.inputs(), p.inputs(batch=2)):
        for name, array in copies_of(arguments).items():
            bad = [np.inf, -np.inf] if name == "y" else [np.nan, np.inf]
            for value in bad:
                for at in (0, -1):
                    refused(p, arguments, name, _with(array, at, value), f"{name} with {value}")


def masks_refused(p: Problem) -> None:
    """Check that a mask with anything set is an error anywhere but in y."""
    arguments = p.inputs()
    for name, array in copies_of(arguments).items():
        if name != "y":
            masked = np.ma.MaskedArray(array, mask=np.zeros(array.shape, bool))
            masked[..., -1] = np.ma.masked
            refused(p, arguments, name, masked, f"{name} with a masked entry")


def others_refused(p: Problem) -> None:
    """Check that what is no observation, seed or array to write to is an error."""
    arguments, n, d = p.inputs(), p.members, p.dim
    refused(p, arguments, "obs", None, "obs=None")
    refused(p, arguments, "obs", p.obs.operator, "an operator as obs")
    if p.is_ours and p.filt._needs_previous:
        refused(p, arguments, "previous", None, "previous=None")
    refused(p, arguments, "rng", "seed", "a text as rng")
    refused(p, arguments, "rng", -1, "a negative rng")
    refused(p, arguments, "rng", 1.5, "rng=1.5")
    refused(p, arguments, "out", np.zeros((n, d)).tolist(), "a list as out")
    refused(p, arguments, "out", np.zeros((d, n)).T, "a column-major out")
    shifted = np.zeros(8 * n * d + 1, np.uint8)[1:].view(np.float64).reshape(n, d)
    refused(p, arguments, "out", shifted, "an out that lies across memory")
    refused(p, arguments, "out", np.zeros((n, 2 * d))[:, ::2], "a strided out")
    refused(p, arguments, "out", np.frombuffer(bytes(8 * n * d)).reshape(n, d), "a read-only out")


def _with(array: Array, index: int, value: float) -> Array:
    changed = array.copy()
    changed.reshape(-1)[index] = value
    return changed
