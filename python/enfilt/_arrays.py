"""Where arrays live: NumPy's on the host, CuPy's on a GPU.

CuPy is not imported to look at an array: whoever has one of its arrays has imported it. An array
of another library that lies on a GPU, such as PyTorch's or JAX's, becomes one without a copy.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ._lifetimes import kept


def cupy() -> Any:
    """Return CuPy itself, for those who ask for it by name."""
    return importlib.import_module("cupy")


def cupy_is_imported() -> bool:
    """Return whether there may be CuPy arrays at all."""
    return "cupy" in sys.modules


# The numbers of DLPack's devices whose memory is CUDA's: its own, and managed.
_CUDA = (2, 13)


def taken(value: Any) -> Any:
    """Return the CuPy array of another library's array on a GPU, of the same memory.

    What is none is returned as it is.

    Raises
    ------
    ImportError
        If it is one, and CuPy is not there.
    """
    if isinstance(value, np.ndarray) or on_device(value):
        return value
    where = getattr(type(value), "__dlpack_device__", None)
    if where is None or int(where(value)[0]) not in _CUDA:
        return value
    return cupy().from_dlpack(value)


def as_given(result: Any, given: Any) -> Any:
    """Return a result as an array of the library that an argument was of, of the same memory."""
    if not on_device(result) or on_device(given):
        return result
    library = type(given).__module__.partition(".")[0]
    home = {"torch": "torch", "jax": "jax.numpy", "jaxlib": "jax.numpy"}.get(library)
    return result if home is None else sys.modules[home].from_dlpack(result)


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
