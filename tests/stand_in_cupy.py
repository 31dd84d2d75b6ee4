"""A stand-in for CuPy where there is no GPU: its arrays are NumPy's in hiding.

It has the functions that enfilt calls, with the arguments that CuPy takes, and refuses what CuPy
refuses: other arguments, to become a NumPy array unasked, to be mixed with one, and `where=` of
ufuncs. `waits` counts what would wait for the device: `get()`, a number or a truth value read
from an array, and an index of truth values.

What it can't show is that CuPy's own functions do what NumPy's do.
"""

import functools
import inspect
import types

import numpy as np

# What enfilt may call, with parameters that CuPy has: `test_stand_in.py` compares them with it.
SIGNATURES = """
arange(start, stop=None, step=1, dtype=None)
array(obj, dtype=None, copy=True)
array_equal(a1, a2, equal_nan=False)
asarray(a, dtype=None)
ascontiguousarray(a, dtype=None)
broadcast_to(array, shape)
clip(a, a_min, a_max, out=None)
concatenate(tup, axis=0)
diag(v, k=0)
einsum(*operands)
empty(shape, dtype=float)
empty_like(prototype, dtype=None)
eye(N)
flatnonzero(a)
from_dlpack(array)
full(shape, fill_value, dtype=None)
may_share_memory(a, b)
mean(a, axis=None, dtype=None, out=None, keepdims=False)
moveaxis(a, source, destination)
ones(shape, dtype=float)
outer(a, b)
roll(a, shift, axis=None)
stack(tup, axis=0)
std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
sum(a, axis=None, dtype=None, out=None, keepdims=False)
take(a, indices, axis=None, out=None)
where(condition, x=None, y=None)
zeros(shape, dtype=float)
zeros_like(a, dtype=None)
fft.fft(a, n=None, axis=-1, norm=None)
fft.ifft(a, n=None, axis=-1, norm=None)
fft.irfft(a, n=None, axis=-1, norm=None)
fft.rfft(a, n=None, axis=-1, norm=None)
linalg.eigh(a)
linalg.qr(a, mode='reduced')
linalg.solve(a, b)
ndarray.all(self, axis=None, out=None, keepdims=False)
ndarray.any(self, axis=None, out=None, keepdims=False)
ndarray.astype(self, dtype, order='K', casting=None, subok=None, copy=True)
ndarray.copy(self, order='C')
ndarray.fill(self, value)
ndarray.get(self)
ndarray.max(self, axis=None, out=None, keepdims=False)
ndarray.mean(self, axis=None, dtype=None, out=None, keepdims=False)
ndarray.min(self, axis=None, out=None, keepdims=False)
ndarray.ravel(self, order='C')
ndarray.reshape(self, *shape)
ndarray.std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
ndarray.sum(self, axis=None, dtype=None, out=None, keepdims=False)
ndarray.swapaxes(self, axis1, axis2)
ndarray.trace(self, offset=0, axis1=0, axis2=1)
ndarray.transpose(self, *axes)
ndarray.var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
ndarray.view(self, dtype=None)
"""
# Ufuncs: functions, and what operators of arrays call.
UFUNCS = {
    *("abs", "absolute", "add", "arctan", "bitwise_or", "divide", "equal", "exp", "greater"),
    *("invert", "isfinite", "isnan", "less", "less_equal", "matmul", "maximum", "multiply"),
    *("negative", "not_equal", "power", "sqrt", "subtract", "tanh"),
}


def signature(line):
    """Return the name and the signature that a line tells."""
    name, parameters = line.split("(", 1)
    return name, inspect.signature(eval(f"lambda {parameters[:-1]}: None"))


TAKES = dict(map(signature, SIGNATURES.split("\n")[1:-1]))


def takes(name, *args, **options):
    """Refuse, with a TypeError, arguments that CuPy does not take."""
    try:
        TAKES[name].bind(*args, **options)
    except TypeError as error:
        raise TypeError(f"cupy.{name}: {error}") from None


waits = 0
stream_pointer = 0
capturing = False


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
        if wrong := options.keys() - {"dtype", "casting"}:
            raise TypeError(f"Wrong arguments {sorted(wrong)}")
        if ufunc.__name__ not in UFUNCS or method != "__call__":
            return NotImplemented
        if out:
            options["out"] = unwrap(out)
        result = getattr(ufunc, method)(*unwrap(inputs), **options)
        return out[0] if out else wrap(result)

    def __array_function__(self, function, kinds, args, options):
        # NumPy's function of a NumPy module goes to CuPy's of the same name and arguments
        home = {"numpy.fft": cupy.fft, "numpy.linalg": cupy.linalg}.get(function.__module__, cupy)
        found = getattr(home, function.__name__, None)
        return NotImplemented if found is None else found(*args, **options)

    def __getattr__(self, name):
        if f"ndarray.{name}" in TAKES:

            def operation(*args, **options):
                takes(f"ndarray.{name}", self, *args, **options)
                out = {k: unwrap(v) for k, v in options.items()}
                return wrap(getattr(self._hidden, name)(*unwrap(args), **out))

            return operation
        if name in {"shape", "dtype", "ndim", "size", "nbytes", "itemsize", "flags"}:
            return getattr(self._hidden, name)
        raise AttributeError(name)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, ndarray) and i.dtype == bool for i in index):
            _wait()  # for how many there are
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

    def is_capturing(self):
        return capturing

    def synchronize(self):
        _wait()


def _function(name):
    """Return CuPy's function of a name, such as "fft.rfft"."""
    function = OWN.get(name) or functools.reduce(getattr, name.split("."), np)

    def call(*args, **options):
        takes(name, *args, **options)
        if name in OWN:
            return function(*args, **options)
        result = function(*unwrap(args), **{k: unwrap(v) for k, v in options.items()})
        return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)

    return call


class _Functions:
    """A module of CuPy's."""

    def __init__(self, prefix):
        self._prefix = prefix

    def __getattr__(self, name):
        if f"{self._prefix}{name}" in TAKES:
            return _function(f"{self._prefix}{name}")
        raise AttributeError(f"the stand-in for CuPy has no {self._prefix}{name}")


class _CuPy(types.ModuleType):
    ndarray = ndarray
    linalg = _Functions("linalg.")
    fft = _Functions("fft.")
    cuda = types.SimpleNamespace(get_current_stream=_Stream, Device=Device)

    def __getattr__(self, name):
        return getattr(np, name) if name in UFUNCS else getattr(_Functions(""), name)

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


def _empty(shape, dtype=float):
    """Return memory that was somebody else's: NaN in every floating type."""
    made = np.empty(shape, dtype)
    made.reshape(-1).view(np.uint8).fill(1 if made.dtype == bool else 0xFF)
    return ndarray(made)


def _flatnonzero(array):
    _wait()  # for how many there are
    return wrap(np.flatnonzero(array._hidden))


OWN = {
    "array": lambda value: _upload(value).copy(),
    "asarray": _upload,
    "ascontiguousarray": _contiguous,
    "empty": _empty,
    "empty_like": lambda prototype, dtype=None: _empty(prototype.shape, dtype or prototype.dtype),
    "flatnonzero": _flatnonzero,
    "from_dlpack": lambda array: array.__dlpack__(),
}
cupy = _CuPy("cupy")
