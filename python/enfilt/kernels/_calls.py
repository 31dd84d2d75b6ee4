"""Where results of kernels go, and what is said of those that overflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..backends import Backend

Array = npt.NDArray[Any]


def written(
    kernels: Backend,
    inputs: Iterable[Array | None],
    like: Array,
    out: Array | None,
    write: Callable[[Array], None],
    failure: str,
) -> Array:
    """Return what `write` puts into an array as `like`: `out`, where that is given.

    `write` gets one that shares no memory with the inputs. `failure` says of numbers that overflow
    what has led to them.
    """
    xp = _arrays.namespace(like)
    target: Array
    if out is None:
        target = xp.empty_like(like)
    else:
        target = _checks.output("out", out, like.shape, like.dtype)
    shared = any(a is not None and xp.may_share_memory(a, target) for a in inputs)
    result = xp.empty_like(like) if shared else target
    try:
        # the check says it better
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            write(result)
    except np.linalg.LinAlgError as error:
        raise FloatingPointError(f"{failure} for {like.dtype}: {error}") from error
    check_result(result, kernels, failure)
    if shared:
        target[...] = result
    return target


def check_result(result: Array, kernels: Backend, failure: str) -> None:
    """Check that what finite numbers led to is finite; on a GPU nobody waits for that."""
    if not (kernels.on_device or kernels.all_finite(result)):
        bad = _checks.first_bad("result", result)
        raise FloatingPointError(f"{failure} for {result.dtype}: {bad}")
