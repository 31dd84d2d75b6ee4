"""What an analysis gives: its shape, its numbers, and what they depend on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .problem import (
    REFUSALS,
    SEED,
    Array,
    Problem,
    close,
    copies_of,
    fail,
    refused,
    same,
    untouched,
)


def shapes_and_dtypes(p: Problem) -> None:
    """Check that an analysis is a new, finite array of the shape and dtype of the forecast."""
    for dtype in (np.float32, np.float64):
        for batch in (None, 1, 3):
            arguments = p.inputs(dtype, batch)
            found, forecast = p.analysis(arguments), arguments["forecast"]
            what = f"the analysis of a forecast {forecast.dtype} {forecast.shape}"
            if not isinstance(found, np.ndarray):
                fail(f"{what} is of type {type(found).__name__}", "a NumPy array")
            if (found.shape, found.dtype) != (forecast.shape, forecast.dtype):
                fail(f"{what} is {found.dtype} {found.shape}", "shape and dtype of the forecast")
            if not np.isfinite(found).all():
                fail(f"{what} holds {found[~np.isfinite(found)][0]}", "finite values")
            if not found.flags.c_contiguous:
                fail(f"{what} is not C-contiguous", "a member a row")
            for name in copies_of(arguments):
                if np.shares_memory(found, arguments[name]):
                    fail(f"{what} shares memory with {name}", "memory of its own without out=")


def batches(p: Problem) -> None:
    """Check that each ensemble of a batch gets the analysis that it gets alone."""
    arguments = p.inputs(batch=3)
    together = p.analysis(arguments)
    one = _of_batch(arguments, 0)
    wanted = "what the ensemble gives alone"
    close(together[0], p.analysis(one), "the first of a batch", wanted)
    # where the filter draws more than `noise` replaces, the others get other draws than alone
    if p.draws_noise_alone:
        for b in (1, 2):
            alone = p.analysis(_of_batch(arguments, b))
            close(together[b], alone, f"ensemble {b} of a batch", wanted)
    same_thrice = {k: _of_batch(arguments, 0)[k] for k in copies_of(arguments) if k != "noise"}
    drawn = arguments | {k: np.stack([v, v, v]) for k, v in same_thrice.items()} | {"noise": None}
    first, second, third = (p.analysis(drawn, rng=seed) for seed in range(3))
    if not (np.array_equal(first, second) and np.array_equal(first, third)) and all(
        np.array_equal(found[0], found[b]) for found in (first, second, third) for b in (1, 2)
    ):
        fail("equal ensembles of a batch get the same draws", "draws of its own for each")
    shared = np.broadcast_to(arguments["y"][0], arguments["y"].shape)
    same(
        p.analysis(arguments | {"y": arguments["y"][0]}),
        p.analysis(arguments | {"y": shared}),
        "the analysis with y (m,) of a batch",
        "that of y repeated for each ensemble",
    )


def out(p: Problem) -> None:
    """Check that `out=` is written to and returned, whatever input its memory is."""
    for batch in (None, 2):
        arguments = p.inputs(batch=batch)
        wanted, copies = p.analysis(arguments), copies_of(arguments)
        fresh = np.full_like(wanted, np.nan)
        same_shape = [k for k, v in copies.items() if v.shape == wanted.shape]
        for name in ["a new array", *same_shape]:
            others = arguments | {k: v.copy() for k, v in copies.items()}
            target = others.get(name, fresh)
            what = f"the analysis with out={name}"
            if p.analysis(others, out=target) is not target:
                fail(f"{what} is another array", "out itself")
            same(target, wanted, what, "that without out=")
            kept = {k: v for k, v in copies.items() if k != name}
            untouched(others, kept, f"with out={name}")
        if batch is None:  # memory that an input shares in part
            for name in same_shape:
                memory = np.zeros((p.members + 1, p.dim))
                memory[:-1] = copies[name]
                found = p.analysis(arguments | {name: memory[:-1]}, out=memory[1:])
                same(
                    found, wanted, f"the analysis with out a row below {name}", "that without out="
                )


def inputs(p: Problem) -> None:
    """Check that inputs may be read-only, and are not written to."""
    for batch in (None, 2):
        arguments = p.inputs(batch=batch)
        arguments["y"][..., 0] = np.nan
        copies = copies_of(arguments)
        wanted = p.analysis(arguments)
        untouched(arguments, copies, "after an analysis")
        for name in copies:
            arguments[name].flags.writeable = False
        same(p.analysis(arguments), wanted, "the analysis of read-only inputs", "that of others")


def layouts(p: Problem) -> None:
    """Check that arrays in any order of memory, lists, and y in float64 give the same bits."""
    arguments = p.inputs(np.float32)
    double = p.analysis(arguments, y=arguments["y"].astype(np.float64))
    what = "the analysis of a forecast float32 and y of float64"
    same(double, p.analysis(arguments), what, "y rounded to the dtype of the ensemble")
    arguments = p.inputs()
    wanted, arrays = p.analysis(arguments), copies_of(arguments)

    def spread(a: Array) -> Array:
        memory = np.full(tuple(2 * n for n in a.shape), np.nan)
        memory[tuple(slice(None, None, 2) for _ in a.shape)] = a
        return memory[tuple(slice(None, None, 2) for _ in a.shape)]

    def turned(a: Array) -> Array:
        back = tuple(slice(None, None, -1) for _ in a.shape)
        return a[back].copy()[back]

    def shifted(a: Array) -> Array:
        memory = np.zeros(a.nbytes + 1, np.uint8)
        view = memory[1:].view(a.dtype).reshape(a.shape)
        view[...] = a
        return view

    forms: dict[str, Callable[[Array], Any]] = {
        "column-major inputs": np.asfortranarray,
        "strided inputs": spread,
        "inputs of negative strides": turned,
        "inputs that lie across memory": shifted,
        "lists": lambda a: a.tolist(),
    }
    for what, form in forms.items():
        given = arguments | {name: form(array) for name, array in arrays.items()}
        same(p.analysis(given), wanted, f"the analysis of {what}", "that of contiguous arrays")


def seeds(p: Problem) -> None:
    """Check that a seed gives the same bits again, and as a Generator; and that None works."""
    arguments = p.inputs()
    arguments.pop("noise", None)
    for seed in (0, 2**63):
        wanted = p.analysis(arguments, rng=seed)
        again = "the bits that the seed gave before"
        same(p.analysis(arguments, rng=seed), wanted, f"the analysis with rng={seed}", again)
        given = np.random.default_rng(seed)
        what = f"the analysis with numpy.random.default_rng({seed})"
        same(p.analysis(arguments, rng=given), wanted, what, f"that with rng={seed}")
    if not np.isfinite(p.analysis(arguments, rng=None)).all():
        fail("the analysis with rng=None is not finite", "finite values")
    np.random.seed(0)  # noqa: NPY002 - of the global state, which must not matter
    wanted_next = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    first = p.analysis(arguments, rng=1)
    if np.random.random() != wanted_next:  # noqa: NPY002
        fail("an analysis drew from NumPy's global random state", "draws from rng alone")
    same(p.analysis(arguments, rng=1), first, "the second analysis with rng=1", "the same bits")


def noise(p: Problem) -> None:
    """Check that with `noise=` nothing is drawn, in both dtypes."""
    for dtype in (np.float32, np.float64):
        arguments = p.inputs(dtype)
        wanted = p.analysis(arguments)
        same(p.analysis(arguments), wanted, "the analysis with the same noise", "the same bits")
        if p.draws_noise_alone:
            found = p.analysis(arguments, rng=SEED + 1)
            same(found, wanted, "with noise=, the analysis of another seed", "no draw but noise")


def observed_values(p: Problem) -> None:
    """Check that `observed=` takes h(x), an ensemble at a time, or is an error that names it."""
    arguments = p.inputs(batch=2)
    arguments["observed"] = p.obs.h(arguments["forecast"])
    copies = copies_of(arguments)
    try:
        found = p.analysis(arguments)
    except TypeError as error:
        if "observed" not in str(error):
            raise
        return
    untouched(arguments, copies, "after an analysis with observed=")
    if not np.isfinite(found).all():
        fail("the analysis with observed= is not finite", "finite values")
    alone = p.analysis(_of_batch(arguments, 0))
    close(found[0], alone, "with observed=, the first of a batch", "what the ensemble gives alone")
    short = arguments["observed"][..., 1:]
    refused(p, arguments, "observed", short, f"observed of shape {short.shape}")


def missing_observations(p: Problem) -> None:
    """Check that NaN in y gives what the other observations give alone."""
    arguments, seen = p.inputs(), _seen(p)
    arguments["y"][~seen] = np.nan
    less, without = p.observing(np.flatnonzero(seen))
    wanted = "what the other observations alone give"
    close(p.analysis(arguments), less.analysis(without), "the analysis with NaN in y", wanted)


def masked_observations(p: Problem) -> None:
    """Check that a masked entry of y gives what NaN in its place gives."""
    arguments, seen = p.inputs(), _seen(p)
    masked = np.ma.MaskedArray(np.where(seen, arguments["y"], 1e6), mask=~seen)
    found = p.analysis(arguments | {"y": masked})
    arguments["y"][~seen] = np.nan
    wanted = "what NaN in its place gives"
    same(found, p.analysis(arguments), "the analysis with a masked y", wanted)


def nothing_observed(p: Problem) -> None:
    """Check that with all of y NaN the analysis is the forecast, bit for bit."""
    for batch in (None, 3):
        arguments = p.inputs(batch=batch)
        arguments["forecast"][..., 0, :3] = np.array([-0.0, 5e-324, 1e-3])[: p.dim]
        arguments["y"][...] = np.nan
        wanted = "the forecast, bit for bit"
        what = "the analysis of no observations"
        same(p.analysis(arguments), arguments["forecast"], what, wanted)
        target = arguments["forecast"].copy()
        found = p.analysis(arguments | {"forecast": target}, out=target)
        same(found, arguments["forecast"], f"{what}, out=forecast", wanted)
    arguments = p.inputs(batch=3)
    arguments["y"][1] = np.nan
    found = p.analysis(arguments)
    same(found[1], arguments["forecast"][1], "an ensemble of a batch without observations", wanted)
    if not np.isfinite(found).all():
        fail("a batch, one ensemble of which has no observations, is not finite", "finite values")


def extremes(p: Problem) -> None:
    """Check that numbers that overflow on the way are an error, never a result without a word."""
    for dtype in (np.float32, np.float64):
        arguments = p.inputs(dtype)
        largest = float(np.finfo(dtype).max)
        changes: dict[str, dict[str, Any]] = {
            f"forecast, times {power:.0e}": {"forecast": arguments["forecast"] * dtype(power)}
            for power in (largest**0.5, largest / 16)
        }
        changes["y of the largest number"] = {"y": np.full_like(arguments["y"], largest)}
        changes["forecast without spread"] = {
            "forecast": np.repeat(arguments["forecast"][:1], p.members, axis=0)
        }
        for what, change in changes.items():
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    found = p.analysis(arguments | change)
            except REFUSALS:
                continue
            if not np.isfinite(found).all():
                value = found[~np.isfinite(found)][0]
                fail(
                    f"the analysis ({found.dtype}) of {what}, holds {value}",
                    "finite values, or an error",
                )


def _seen(p: Problem) -> Array:
    """Return which observations the checks of missing ones leave."""
    seen: Array = np.arange(p.size) % 3 != 1
    return seen


def _of_batch(arguments: dict[str, Any], b: int) -> dict[str, Any]:
    return {k: v[b] if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
