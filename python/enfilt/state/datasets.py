"""What is asked of datasets of xarray, which is imported where it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks

Array = npt.NDArray[Any]


def library() -> Any:
    """Return xarray."""
    try:
        import xarray  # an extra
    except ImportError:
        raise ImportError("datasets need xarray: pip install 'enfilt[io]'") from None
    return xarray


def dataset(value: Any) -> Any:
    """Check that a value is a dataset."""
    if not isinstance(value, library().Dataset):
        raise TypeError(
            f"dataset is of type {type(value).__name__}: expected an xarray.Dataset (of a "
            f"DataArray, array.todataset(name=...))"
        )
    return value


def check_there(data: Any, names: list[Any]) -> None:
    """Check that a dataset has these variables."""
    missing = [name for name in names if name not in data.data_vars]
    if missing or not names:
        raise ValueError(
            f"variable(s) {missing} missing in a dataset with {list(data.data_vars)}: expected "
            f"{names or 'at least one'}"
        )


def members_of(data: Any, names: list[Any], given: str | None) -> str | None:
    """Return the dimension of members, or None."""
    dims = list(dict.fromkeys(str(d) for name in names for d in data[name].dims))
    if given is not None:
        if given not in dims:
            raise ValueError(f"member={given!r}: expected one of the dimensions {dims}")
        return given
    known = [dim for dim in dims if dim.lower() in _checks.MEMBERS]
    if len(known) > 1:
        raise ValueError(f"dataset has the dimensions {known}: expected member= with one of them")
    return known[0] if known else None


def check_members(data: Any, names: list[Any], along: str) -> None:
    """Check that these variables have members."""
    without = [name for name in names if along not in data[name].dims]
    if without:
        raise ValueError(
            f"variable(s) {without} have no dimension {along!r}, which others have: expected "
            f"members of all, or variables= without them"
        )


def check_coordinates(data: Any, coords: Mapping[str, Any], member: str) -> None:
    """Check that coordinates along dimensions are these, or a row is another place."""
    for name, (dims, known, _) in coords.items():
        if dims != (name,) or name == member or name not in data.coords:
            continue
        found = data.coords[name].values
        if known.dtype.kind in "fiu" and found.dtype.kind in "fiu":
            alike = found.shape == known.shape and np.allclose(found, known, rtol=1e-5)
        else:
            alike = np.array_equal(found, known)
        if not alike:
            raise ValueError(
                f"dataset has another coordinate {name!r} than the layout: expected {known}, such "
                f"as by dataset.reindex or dataset.sel"
            )


def values(data: Any, variables: Mapping[str, Mapping[str, int]], along: str | None) -> list[Array]:
    """Return the values of variables whose dimensions are these, behind that of members."""
    parts: list[Array] = []
    for name, dims in variables.items():
        found = data[name]
        sizes = {str(d): int(n) for d, n in zip(found.dims, found.shape, strict=True)}
        if {d: n for d, n in sizes.items() if d != along} != dims:
            raise ValueError(
                f"variable {name!r} has the dimensions {sizes}: expected {dims}"
                f"{'' if along is None else f' and {along!r}'}, as the layout"
            )
        order = [*([] if along is None else [along]), *dims]
        part = found.transpose(*order).values
        if part.dtype not in _checks.FLOAT_DTYPES:
            raise TypeError(
                f"variable {name!r} has dtype {part.dtype}: expected float32 or float64"
            )
        if parts and part.dtype != parts[0].dtype:
            raise TypeError(
                f"variable {name!r} has dtype {part.dtype}, the first has {parts[0].dtype}: all of "
                f"a state share one dtype (dataset.astype('float64'))"
            )
        parts.append(part)
    return parts


def whole(parts: list[Array], shape: tuple[int, ...]) -> Array | None:
    """Return the array (N, D) whose parts these are, one after the other, or None."""
    base = parts[0].base
    if not isinstance(base, np.ndarray) or base.size != np.prod(shape):
        return None
    if base.dtype != parts[0].dtype or not base.flags.c_contiguous:
        return None
    whole = base.reshape(shape)
    first = 0
    for part in parts:
        lead = part.shape[: len(shape) - 1]
        count = int(np.prod(part.shape[len(lead) :], dtype=np.int64))
        expected = whole[..., first : first + count].reshape(part.shape)
        place, other = (a.__array_interface__["data"][0] for a in (part, expected))
        if place != other or part.strides != expected.strides:
            return None
        first += count
    return whole
