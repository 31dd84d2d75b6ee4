"""Arrays of other libraries, taken and given back without a copy, and where arrays live.

Computed is with NumPy's on the host and with CuPy's on a GPU. What else comes in (PyTorch, JAX,
xarray, pandas, whatever speaks DLPack) is looked at as one of these two, of the same memory, and
a result goes back as what the first array of the call was: `as_it_came`. No library is imported
to look at an array: whoever has one of its arrays has imported it.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt

from ._lifetimes import kept

P = ParamSpec("P")
R = TypeVar("R")


def cupy() -> Any:
    """Return CuPy itself, for those who ask for it by name."""
    return importlib.import_module("cupy")


def cupy_is_imported() -> bool:
    """Return whether there may be CuPy arrays at all."""
    return "cupy" in sys.modules


# The numbers of DLPack's devices: the CPU's memory, and pinned memory of CUDA's and ROCm's there;
# CUDA's own, and managed.
_HOST = (1, 3, 11)
_CUDA = (2, 13)
# JAX takes memory of others without a copy from such addresses on.
_JAX_ALIGNMENT = 64


def _is(value: Any, library: str, *kinds: str) -> bool:
    """Return whether a value is of one of a library's classes, without importing that."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, tuple(getattr(module, k) for k in kinds))


def is_xarray(value: Any) -> bool:
    """Return whether a value is a DataArray."""
    return _is(value, "xarray", "DataArray")


def is_pandas(value: Any) -> bool:
    """Return whether a value is a DataFrame or a Series."""
    return _is(value, "pandas", "DataFrame", "Series")


def taken(argument: str, value: Any) -> Any:
    """Return the array of NumPy or CuPy of another library's array, of the same memory.

    What is none is returned as it is.

    Raises
    ------
    ImportError
        If it lies on a GPU, and CuPy is not there.
    TypeError
        If it can't be taken without a copy, or is only a name for one, within `jax.jit`.
    """
    if isinstance(value, np.ndarray) or on_device(value):
        return value
    if is_xarray(value):
        inner = value.data  # of Dask's, one that is not computed yet
        return value if hasattr(inner, "dask") else taken(argument, inner)
    if "jax" in sys.modules and isinstance(value, sys.modules["jax"].core.Tracer):
        raise TypeError(
            f"{argument} is a tracer of JAX ({value.aval}), which has no values yet, as within "
            f"jax.jit, vmap and grad: expected arrays, or a call by way of "
            f"jax.pure_callback(lambda *arrays: ..., jax.ShapeDtypeStruct(x.shape, x.dtype), x, y)"
        )
    where = getattr(type(value), "__dlpack_device__", None)
    if where is None:
        return value
    try:
        device = int(where(value)[0])
        if device in _CUDA:
            return cupy().from_dlpack(value)
        if device in _HOST:
            # `from_dlpack` gives what nobody may write to, before NumPy 2.1
            return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
        reason = f"it lies on a device of DLPack's kind {device}"
    except ImportError:
        raise
    except Exception as error:  # whatever a library says
        reason = str(error)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(
        f"{argument} is of type {name}, and can't be taken without a copy: {reason}; expected an "
        f"array in the memory of the CPU or of an NVIDIA GPU, without a gradient"
    )


def as_given(result: Any, given: Any) -> Any:
    """Return a result as what an argument was: of its library and the same memory, labelled.

    Labels, which are axis by axis, are those of an argument of the same shape.
    """
    if isinstance(result, tuple):
        return tuple(as_given(part, given) for part in result)
    if not (isinstance(result, np.ndarray) or on_device(result)):
        return result
    if is_xarray(given) or is_pandas(given):
        if np.shape(given) != result.shape:
            return result
        if is_xarray(given):
            labelled = given.__array_wrap__(as_given(result, given.data))
        else:
            labelled = type(given)(result, *given.axes, copy=False)
        labelled.attrs = given.attrs
        return labelled
    if isinstance(given, np.ndarray) or on_device(given):
        return result
    of_type = type(given)
    told = getattr(of_type, "__array_namespace__", None)
    home = sys.modules.get(of_type.__module__.partition(".")[0]) if told is None else told(given)
    back = getattr(home, "from_dlpack", None)
    if _is(given, "jax", "Array"):  # which has no float64 unless it is told to
        dtype = sys.modules["jax"].dtypes.canonicalize_dtype(result.dtype)
        result = result.astype(dtype, copy=False)
    return result if back is None else back(result)


def _room(argument: str, given: Any) -> npt.NDArray[Any] | None:
    """Return memory for a result as `given` where that is JAX's on the host, or None."""
    if not (_is(given, "jax", "Array") and isinstance(taken(argument, given), np.ndarray)):
        return None
    memory = np.empty(given.nbytes + _JAX_ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % _JAX_ALIGNMENT
    return np.ndarray(given.shape, given.dtype, memory, offset)


def as_it_came(call: Callable[P, R]) -> Callable[P, R]:
    """Return a public function whose result is what its first array was, or `out` itself.

    Its first parameter, after `self`, is that array; `out` is a keyword, of the same shape.
    """
    code = call.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    at = int(names[0] == "self")
    name, has_out = names[at], "out" in names

    @functools.wraps(call)
    def as_given_to(*args: P.args, **kwargs: P.kwargs) -> R:
        given = args[at] if len(args) > at else kwargs.get(name)
        out = kwargs.get("out")
        if type(given) is np.ndarray and out is None:
            return call(*args, **kwargs)
        if has_out and out is None and (room := _room(name, given)) is not None:
            kwargs["out"] = room
        result = call(*args, **kwargs)
        return cast(R, as_given(result, given) if out is None else out)

    return as_given_to


def on_device(value: Any) -> bool:
    """Return whether `value` is a CuPy array."""
    found = sys.modules.get("cupy")
    return found is not None and isinstance(value, found.ndarray)


def namespace(*values: Any) -> Any:
    """Return the module whose functions make and take such arrays: `numpy`, or `cupy` for CuPy's.

    Values of other types (None, numbers) leave the choice to the others.
    """
    found: ModuleType = sys.modules["cupy"] if any(map(on_device, values)) else np
    return found


def kind(value: Any) -> str:
    """Return what an array is called in messages."""
    return "a CuPy array" if on_device(value) else "a NumPy array"


def address(array: Any) -> int:
    """Return where an array begins."""
    return int(array.data.ptr if on_device(array) else array.ctypes.data)


def gpu(array: Any) -> int:
    """Return the number of the GPU that a CuPy array lies on."""
    return int(array.device.id)


def gpu_and_stream(array: Any) -> tuple[int, int]:
    """Return the GPU that a CuPy array lies on, and the stream that work on it goes to now."""
    return gpu(array), int(namespace(array).cuda.get_current_stream().ptr)


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array that nobody can write to: itself if it is one, or a copy."""
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.flags.writeable = False
    return array


def beside(like: Any, value: Any, dtype: Any = None) -> Any:
    """Return numbers as an array where `like` lies, in `dtype` where that is given.

    Of a NumPy array that is `frozen` the copy on a GPU is kept as long as that lives, one for each
    stream: a stream does not wait for what another has uploaded.

    Raises
    ------
    TypeError, ValueError
        If they are none, or lie on a GPU and `like` does not.
    """
    xp = namespace(like)

    def made() -> Any:
        return xp.asarray(value, dtype=dtype)

    if xp is np or type(value) is not np.ndarray or value.flags.writeable or value.base is not None:
        return made()
    return kept(value, (*gpu_and_stream(like), dtype), made)


def check_not_captured() -> None:
    """Check that CuPy's current stream is not being captured into a graph.

    Raises
    ------
    RuntimeError
        If it is.
    """
    if cupy().cuda.get_current_stream().is_capturing():
        raise RuntimeError(
            "the current stream is being captured: a graph of this call would use memory that goes "
            "back to CuPy's pool when the call ends, and the random numbers of this one call; "
            "expected a stream that is not (calls of sizes that come again are graphs by "
            "themselves)"
        )


def to_host(value: Any) -> Any:
    """Return a NumPy array with the same numbers; of a CuPy array a copy, which waits for it."""
    return value.get() if on_device(value) else np.asarray(value)
