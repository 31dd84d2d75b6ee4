"""Checks at the public boundary: each names the argument, what it is and what was expected.

Kernels assume what is checked here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import operator
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays

Array = npt.NDArray[Any]

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the known name closest to `name`, or nothing."""
    import difflib  # of use to errors alone

    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def choice(argument: str, value: Any, names: Iterable[str]) -> str:
    """Check that `value` is one of `names`."""
    known = list(names)
    if value in known:
        return str(value)
    expected = ", ".join(repr(n) for n in known)
    hint = nearest(value, known) if isinstance(value, str) else ""
    raise ValueError(f"{argument}={value!r} is not known: expected one of {expected}{hint}")


def integer(argument: str, value: Any, least: int) -> int:
    """Check that `value` is an integer of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{argument}={value!r} is of type {type(value).__name__}: expected an integer"
        ) from None
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument}={value!r} is a bool: expected an integer")
    if number < least:
        raise ValueError(f"{argument}={number}: expected an integer of at least {least}")
    return number


def number(
    argument: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> float:
    """Check that `value` is a finite real number within its bounds."""
    try:
        # float() would read a text, and take True for 1; and an array has no hash
        refused = isinstance(value, str | bytes | bool | np.bool_ | np.ndarray)
        result = float("" if refused else value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{argument}={value!r} is of type {type(value).__name__}: expected a real number"
        ) from None
    except OverflowError:  # of an integer
        result = math.inf
    bounds: list[tuple[str, float | None, Callable[[float, float], bool]]] = [
        ("above", above, operator.gt),
        ("at least", least, operator.ge),
        ("at most", most, operator.le),
    ]
    given = [(text, bound, holds) for text, bound, holds in bounds if bound is not None]
    if not (math.isfinite(result) and all(holds(result, bound) for _, bound, holds in given)):
        wanted = " and ".join(["a finite number", *(f"{text} {b}" for text, b, _ in given)])
        raise ValueError(f"{argument}={value!r}: expected {wanted}")
    return result


def python_numbers(options: Any) -> None:
    """Make Python's numbers of NumPy's among the options of a frozen dataclass.

    Small integers of NumPy's overflow without a word, and its float32 rounds what it meets; of
    Python's integers beyond 64 bits, where floats are meant, NumPy makes arrays of objects.
    """
    for option in dataclasses.fields(options):
        value = getattr(options, option.name)
        if isinstance(value, np.integer | np.bool_):
            value = value.item()
        elif isinstance(value, np.floating):
            value = float(value)
        if type(value) is int and "float" in str(option.type) and abs(value) >= 2**63:
            with contextlib.suppress(OverflowError):  # beyond floats, too, `number` refuses it
                value = float(value)
        if value is not getattr(options, option.name):
            object.__setattr__(options, option.name, value)


def generator(argument: str, value: Any) -> np.random.Generator:
    """Check that `value` is a generator of random numbers, or what `default_rng` makes one of."""
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{argument}={value!r}: expected a numpy.random.Generator, an integer of at least 0, "
            f"or None"
        ) from None


def users_level() -> int:
    """Return the `stacklevel` with which a warning of the caller points to the user's code."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("enfilt."):
        frame, level = frame.f_back, level + 1
    return level


def float_dtype(argument: str, value: Any) -> np.dtype[Any]:
    """Check that `value` names float32 or float64."""
    for dtype in FLOAT_DTYPES:
        try:
            if np.dtype(value) == dtype:
                return dtype
        except TypeError:
            break
    raise TypeError(f"{argument}={_dtype_name(value)}: expected float32 or float64")


def _dtype_name(value: Any) -> str:
    try:
        return str(np.dtype(value).name)
    except TypeError:
        return repr(value)


#: What the dimension is called that members lie along, in small letters.
MEMBERS = {"member", "members", "realization", "realisation", "number", "ensemble", "ens"}
_NUMBERS = {int, float, bool, np.float64, np.float32, np.int64}


def plain(argument: str, value: Any, *, missing: bool = False, members: int | None = None) -> Any:
    """Return an array without mask or labels, taken by position; what is none as it is.

    Parameters
    ----------
    missing : bool
        Whether a masked entry means "not observed", and becomes NaN; if not, it is an error.
    members : int, optional
        Which axis members lie along, counted from the end: 2 in (..., N, D). None: no one.

    Raises
    ------
    ValueError
        If something is masked that must not be; or if labels, of pandas or xarray, contradict
        positions: a dimension of members elsewhere, or an index of the positions in another order.
    """
    if type(value) is np.ndarray or _arrays.on_device(value):
        return value
    if isinstance(value, list | tuple):
        if set(map(type, value)) <= _NUMBERS:
            return value
        parts = enumerate(value)
        return [plain(f"{argument}[{k}]", v, missing=missing, members=members) for k, v in parts]
    _check_labels(argument, value, members)
    value = _arrays.taken(argument, value)
    if hasattr(value, "__array__") and not _arrays.on_device(value):
        value = np.asanyarray(value)  # `asarray` would take a mask off without a word
    masks = sys.modules.get("numpy.ma")  # whoever has a masked array has imported it
    # nor has anyone one while another thread still imports it
    kind: Any = getattr(masks, "MaskedArray", ())
    if masks is None or not isinstance(value, kind):
        # of numpy.matrix, * is another product
        return np.asarray(value) if isinstance(value, np.ndarray) else value
    if masks.is_masked(value) and not (missing and value.dtype.kind == "f"):
        found = np.argwhere(masks.getmaskarray(value))[0]
        where = f" at [{', '.join(map(str, found))}]" if found.size else ""
        raise ValueError(
            f"{argument} is masked{where}: expected a value everywhere (what is not observed is "
            f"masked, or NaN, in y)"
        )
    return value.filled(np.nan) if masks.is_masked(value) else np.asarray(value)


def _labels(value: Any) -> list[tuple[Any, Any]]:
    """Return name and index, or None, of each axis of an object of pandas or xarray."""
    if _arrays.is_xarray(value):
        return [(name, value.indexes.get(name)) for name in value.dims]
    if _arrays.is_pandas(value):
        return [(index.name, index) for index in value.axes]
    return []


def _check_labels(argument: str, value: Any, members: int | None) -> None:
    labels = _labels(value)
    for axis, (name, index) in enumerate(labels):
        if str(name).lower() in MEMBERS and len(labels) - axis != members:
            names = ", ".join(str(n) for n, _ in labels)
            wanted = "no such axis" if members is None else "members in rows, (N, D)"
            raise ValueError(
                f"{argument} has the axis {name!r} at position {axis} of ({names}): arrays are "
                f"taken by position, expected {wanted}"
            )
        numbers = np.asarray([] if index is None else index)
        if numbers.dtype.kind in "iu" and numbers.ndim == 1:
            positions = np.arange(numbers.size)
            if (numbers != positions).any() and np.array_equal(np.sort(numbers), positions):
                k = int(np.flatnonzero(numbers != positions)[0])
                raise ValueError(
                    f"{argument} has the label {numbers[k]} at position {k} of axis {axis}: arrays "
                    f"are taken by position, expected them in the order of their labels "
                    f"({argument}.sort_index()), or without labels"
                )


def alike(*, axis: int | None = None, **arguments: Any) -> None:
    """Check that labels which several arguments have are in one order, axis by axis from the last.

    With `axis`, that one alone, counted from the last, 0.

    Raises
    ------
    ValueError
        If an argument has those of an earlier one in another order.
    """
    known: dict[int, tuple[str, Any]] = {}
    for argument, value in arguments.items():
        labels = [] if type(value) is np.ndarray else _labels(value)
        for at, (_, index) in enumerate(reversed(labels)):
            if index is None or axis not in (None, at):
                continue
            first, other = known.setdefault(at, (argument, index))
            if not index.equals(other) and sorted(map(str, index)) == sorted(map(str, other)):
                raise ValueError(
                    f"{argument} has the labels of {first} in another order: arrays are taken by "
                    f"position, expected one order"
                )


def floating(
    argument: str,
    value: Any,
    dtype: np.dtype[Any] | None = None,
    *,
    missing: bool = False,
    members: int | None = None,
    rounded: bool = False,
) -> Array:
    """Check that `value` is an array of float32 or float64, of `dtype` where that is given.

    Lists and scalars are taken in `dtype` (float64 without one); an array keeps its own dtype,
    which must be right, unless it is to be `rounded` to `dtype`, as what is told of observations
    is. `missing` and `members` are as of `plain`.
    """
    value = plain(argument, value, missing=missing, members=members)
    array: Array
    if not hasattr(value, "dtype"):
        with np.errstate(over="ignore"):  # what is not finite is said by its index
            return _read(argument, value).astype(dtype or np.float64, copy=False)
    array = value if _arrays.on_device(value) else np.asarray(value)
    if array.dtype not in FLOAT_DTYPES:
        raise TypeError(
            f"{argument} has dtype {array.dtype}: expected float32 or float64 "
            f"(convert it with {argument}.astype('float64'))"
        )
    if dtype is not None and array.dtype != dtype:
        if rounded:
            return _in_dtype(argument, array, dtype)
        raise TypeError(
            f"{argument} has dtype {array.dtype}, but the ensemble has {dtype}: "
            f"all ensembles of one call share one dtype"
        )
    return aligned(array)


def _in_dtype(argument: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return what is told of observations in the dtype of the ensemble."""
    with np.errstate(over="ignore"):  # the error says it better
        found: Array = array.astype(dtype)
    if not _arrays.on_device(array):
        beyond = np.argwhere(np.isinf(found) & np.isfinite(array))
        if beyond.size:
            where = ", ".join(str(int(i)) for i in beyond[0])
            raise ValueError(
                f"{argument}[{where}] is {array[tuple(beyond[0])]}, beyond {dtype}, which the "
                f"ensemble has: expected smaller numbers, or an ensemble of {array.dtype}"
            )
    return found


def numbers(argument: str, value: Any) -> npt.NDArray[np.float64]:
    """Check that `value` holds real numbers; return them in float64."""
    return _read(argument, plain(argument, value))


def _read(argument: str, value: Any) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(value)
        if array.dtype.kind in "cSUV":  # float64 would drop, or read, what they hold
            raise TypeError(f"it has dtype {array.dtype}")
        return aligned(array.astype(np.float64, copy=False))
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{argument} can't be read as an array of numbers: {error}") from None


def coordinates(argument: str, value: Any) -> npt.NDArray[np.float64]:
    """Check that `value` holds numbers; return them in float64, one axis as a column (n, 1)."""
    array = numbers(argument, value)
    if array.ndim == 0:
        raise ValueError(f"{argument} has shape (): expected coordinates, (n,) or (n, k)")
    return array[:, None] if array.ndim == 1 else array


def ensemble(argument: str, value: Any, *, members: int = 2, batch: bool = True) -> Array:
    """Check that `value` is an ensemble, (N, D) or a batch (B, N, D), and return it contiguous."""
    array = floating(argument, value, members=2)
    shapes = "(N, D) or (B, N, D)" if batch else "(N, D)"
    if array.ndim not in ((2, 3) if batch else (2,)):
        raise ValueError(f"{argument} has shape {array.shape}: expected {shapes}, a member a row")
    if array.shape[-2] < members:
        raise ValueError(
            f"{argument} has shape {array.shape}, {array.shape[-2]} member(s): "
            f"expected at least {members}"
        )
    if 0 in array.shape:
        raise ValueError(f"{argument} has shape {array.shape}: expected no empty axis")
    return contiguous(array)


def contiguous(array: Array) -> Array:
    """Return the array C-contiguous, where it lies: itself, or a copy."""
    result: Array = _arrays.namespace(array).ascontiguousarray(array)
    return aligned(result)


def aligned(array: Array) -> Array:
    """Return the array itself, or a copy where its numbers lie across those of memory.

    C++ does not say what reading them gives, and Numba compiles its kernels anew for them.
    """
    return array if _arrays.on_device(array) or array.flags.aligned else array.copy()


def shaped(
    argument: str,
    value: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    like: str,
    *,
    missing: bool = False,
    members: int | None = None,
    rounded: bool = False,
) -> Array:
    """Check that `value` has the shape and dtype of another argument; return it contiguous.

    `missing` and `members` are as of `plain`, `rounded` as of `floating`.
    """
    array = floating(argument, value, dtype, missing=missing, members=members, rounded=rounded)
    if array.shape != shape:
        raise ValueError(f"{argument} has shape {array.shape}: expected {shape}, {like}")
    return contiguous(array)


def finite(argument: str, array: Array, test: Callable[[Array], bool] | None = None) -> None:
    """Check that all of `array` is finite; the error gives the first index that is not.

    `test` may be a faster answer to the same question.
    """
    if test(array) if test is not None else bool(np.isfinite(array).all()):
        return
    raise ValueError(f"{first_bad(argument, array)}: expected finite values")


def not_infinite(argument: str, array: Array) -> None:
    """Check that no value of `array`, in which NaN is what is not observed, is infinite."""
    infinite = np.isinf(array)
    if infinite.any():
        where = ", ".join(str(int(i)) for i in np.argwhere(infinite)[0])
        raise ValueError(
            f"{argument}[{where}] is infinite: expected finite values, or NaN for missing"
        )


def first_bad(argument: str, array: Array) -> str:
    """Return the first value that is not finite and where, as ``argument[0, 3] is nan``."""
    for row, part in enumerate(array.reshape(-1, array.shape[-1])):
        bad = np.flatnonzero(~np.isfinite(_arrays.to_host(part)))
        if bad.size:
            lead = np.unravel_index(row, array.shape[:-1])
            index = tuple(int(i) for i in (*lead, bad[0]))
            where = ", ".join(map(str, index))
            return f"{argument}[{where}] is {_arrays.to_host(part)[bad[0]]}"
    raise AssertionError(f"{argument} is finite")


def output(argument: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Check an `out=` array: it is written to as it stands, so everything must fit exactly.

    Of another library's array it is the same memory, as NumPy's or CuPy's.
    """
    plain(argument, value, members=2)  # a mask would stay upon what is written
    array: Array = _arrays.taken(argument, value)
    if not (isinstance(array, np.ndarray) or _arrays.on_device(array)):
        raise TypeError(f"{argument} is of type {type(value).__name__}: expected a NumPy array")
    if array.dtype != dtype:
        raise TypeError(f"{argument} has dtype {array.dtype}: expected {dtype}, as the input")
    if array.shape != shape:
        raise ValueError(f"{argument} has shape {array.shape}: expected {shape}, as the input")
    # CuPy's arrays are always both
    usable = _arrays.on_device(array) or (array.flags.writeable and array.flags.aligned)
    if not (array.flags.c_contiguous and usable):
        raise ValueError(f"{argument} must be C-contiguous and writeable, and aligned in memory")
    return array
