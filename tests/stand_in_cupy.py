"""A stand-in for CuPy where there is no GPU: its arrays are NumPy's in hiding.

It has the functions that enfilt calls, each of which CuPy has, and refuses what CuPy refuses:
to become a NumPy array unasked, to be mixed with one, and `where=` of ufuncs. `waits` counts what
would wait for the device: `get()`, and a number or a truth value read from an array.

What it can't show is that CuPy's own functions do what NumPy's do.
"""

import types

import numpy as np

FUNCTIONS = {
    *(
        "arange",
        "array",
        "full",
        "asarray",
        "ascontiguousarray",
        "empty",
        "empty_like",
        "eye",
        "ones",
    ),
    *("zeros", "zeros_like", "broadcast_to", "moveaxis", "roll", "stack", "concatenate"),
    *("where", "isnan", "isfinite", "may_share_memory", "std", "sum", "mean", "sqrt", "exp"),
    *("einsum", "diag", "outer", "add", "maximum", "abs", "flatnonzero", "from_dlpack"),
}
OPERATIONS = {
    *("astype", "reshape", "copy", "mean", "sum", "std", "var", "all", "any", "max", "min"),
    *("transpose", "swapaxes", "trace", "fill", "view", "ravel"),
}

waits = 0
stream_pointer = 0


def _wait():
    global waits
    waits += 1


def unwrap(value):
    if isinstance(value, ndarray):
        return value._hidden
    if isinstance(value, list | tuple):
        return type(value)(unwrap(v) for v in value)
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def wrap(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    return value


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801 - CuPy's name
    def __init__(self, hidden):
        self._hidden = hidden

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`.")

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if options.get("where", True) is not True:
            raise TypeError("Wrong arguments 'where'")
        if out:
            options["out"] = unwrap(out)
        result = getattr(ufunc, method)(*unwrap(inputs), **options)
        return out[0] if out else wrap(result)

    def __array_function__(self, function, kinds, args, options):
        if function.__name__ not in FUNCTIONS:
            return NotImplemented
        return getattr(cupy, function.__name__)(*args, **options)

    def __getattr__(self, name):
        if name in OPERATIONS:

            def operation(*args, **options):
                out = {k: unwrap(v) for k, v in options.items()}
                return wrap(getattr(self._hidden, name)(*unwrap(args), **out))

            return operation
        if name in {"shape", "dtype", "ndim", "size", "nbytes", "itemsize", "flags"}:
            return getattr(self._hidden, name)
        raise AttributeError(name)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        index = unwrap(index)
        more = () if any(i is Ellipsis for i in index) else (...,)
        return ndarray(self._hidden[(*index, *more)])  # a view also of one number

    def __setitem__(self, index, value):
        index = index if isinstance(index, tuple) else (index,)
        self._hidden[tuple(unwrap(i) for i in index)] = unwrap(value)

    def __len__(self):
        return len(self._hidden)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        _wait()
        return bool(self._hidden)

    def __float__(self):
        _wait()
        return float(self._hidden)

    def __int__(self):
        _wait()
        return int(self._hidden)

    @property
    def real(self):
        return ndarray(self._hidden.real)

    @property
    def imag(self):
        return ndarray(self._hidden.imag)

    @property
    def T(self):  # noqa: N802
        return ndarray(self._hidden.T)

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self._hidden.ctypes.data)

    @property
    def device(self):
        return Device(getattr(self, "place", 0))

    def get(self):
        _wait()
        return self._hidden.copy()


class Device:
    """One GPU, of 1 GiB."""

    mem_info = (1 << 30, 1 << 30)

    def __init__(self, number=0):
        self.id = number


class _Stream:
    @property
    def ptr(self):
        return stream_pointer

    def synchronize(self):
        _wait()


def _of_numpy(function):
    def call(*args, **options):
        result = function(*unwrap(args), **{k: unwrap(v) for k, v in options.items()})
        return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)

    return call


class _CuPy(types.ModuleType):
    ndarray = ndarray
    linalg = types.SimpleNamespace(
        **{name: _of_numpy(getattr(np.linalg, name)) for name in ("eigh", "qr", "solve")}
    )
    fft = types.SimpleNamespace(
        **{name: _of_numpy(getattr(np.fft, name)) for name in ("rfft", "irfft", "fft", "ifft")}
    )
    cuda = types.SimpleNamespace(get_current_stream=_Stream, Device=Device)

    def __getattr__(self, name):
        if name not in FUNCTIONS:
            raise AttributeError(f"the stand-in for CuPy has no {name}")
        function = getattr(np, name)
        if name == "asarray":
            return _upload
        if name == "array":
            return lambda value: _upload(value).copy()
        if name == "ascontiguousarray":
            return _contiguous
        if isinstance(function, np.ufunc):
            return function
        return _of_numpy(function)

    @staticmethod
    def get_default_memory_pool():
        return types.SimpleNamespace(free_bytes=lambda: 0)


class csr_matrix:  # noqa: N801 - that of cupyx.scipy.sparse
    def __init__(self, host):
        self._hidden = host

    shape = property(lambda self: self._hidden.shape)
    T = property(lambda self: csr_matrix(self._hidden.T))

    def __matmul__(self, dense):
        return wrap(self._hidden @ dense._hidden)


sparse = types.SimpleNamespace(csr_matrix=csr_matrix)


def _contiguous(array, dtype=None):
    if array.flags.c_contiguous and dtype in (None, array.dtype):
        return array
    return wrap(np.ascontiguousarray(unwrap(array), dtype))


def _upload(value, dtype=None):
    if isinstance(value, ndarray) and dtype in (None, value.dtype):
        return value
    # a list of arrays that NumPy would look into; memory of the device's own
    return ndarray(np.array(unwrap(value) if isinstance(value, ndarray) else value, dtype))


cupy = _CuPy("cupy")
