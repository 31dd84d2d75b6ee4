"""A component-wise operator of the user's own scalar function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.block_function import BlockFunction
from .base import Array, Pointwise, states
from .componentwise import Everywhere

__all__ = ["Componentwise"]


@dataclass(frozen=True, repr=False)
class Componentwise(Everywhere):
    """Observe a function of yours, component by component, inside the compiled kernels.

    Numba (extra ``[numba]``) compiles both functions, and every kernel calls the result for a block
    of components at a time. With arctan it takes as long as `Arctan`, to some tens of per cent.

    Parameters
    ----------
    h : callable
        Function of one number, in Python that Numba compiles: operators, branches, `math`, NumPy's
        functions of numbers, functions decorated with ``numba.njit``. It is called from several
        threads, for any number, and for components that are not observed too. Global variables
        that it reads are constants from the first call on.
    dh : callable, optional
        Its derivative, likewise a function of one number; not checked against `h`. May be left out
        where no gradient is asked for: the Kalman and particle filters, `LEnFF`,
        ``guidance="monte-carlo"`` and ``"covariance"``.

    Raises
    ------
    TypeError
        If `h` or `dh` is no function or none that Numba compiles, does not return a real number,
        or a gradient is asked for and `dh` was left out.
    ImportError
        If Numba is not installed; `Custom`, which takes functions of whole arrays, does without.

    Notes
    -----
    With float32 ensembles the functions are compiled for float32, where constants such as ``0.3``
    are float32 too. arctan and tanh are vector code, within 2 ulp; other functions of `math` and
    NumPy are those of the C library, a number at a time. Two of these operators are equal if their
    functions are the same objects; one pickles if its functions do.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> cubic = ef.operators.Componentwise(lambda x: x + 0.1 * x**3, lambda x: 1 + 0.3 * x**2)
    >>> cubic(np.array([0.0, 1.0, 2.0]))
    array([0. , 1.1, 2.8])
    >>> (cubic @ ef.operators.Every(2))(np.array([0.0, 1.0, 2.0]))
    array([0. , 2.8])
    """

    h: Callable[[Any], Any]
    dh: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if not callable(self.h):
            raise TypeError(f"h={self.h!r}: expected a function of one number")
        if self.dh is not None and not callable(self.dh):
            raise TypeError(f"dh={self.dh!r}: expected a function of one number, or None")
        try:
            self._function.compiled(np.float64)
        except ImportError as error:
            raise ImportError(
                f"Componentwise(h, dh) compiles its functions with Numba, which can't be imported "
                f"({error}): pip install 'enfilt[numba]', or give functions of whole arrays as "
                f"Custom(h, vjp)"
            ) from error

    def __repr__(self) -> str:
        names = [getattr(f, "__name__", repr(f)) for f in (self.h, self.dh) if f is not None]
        return f"Componentwise({', '.join(names)})"

    @property
    def has_gradient(self) -> bool:
        return self.dh is not None

    @property
    def _function(self) -> BlockFunction:
        return BlockFunction(self.h, self.dh)

    def __call__(self, x: Array) -> Array:
        return self._function.values(states(x))

    def derivative(self, x: Array) -> Array:
        if self.dh is None:
            raise TypeError(f"dh of {self!r} is missing: a gradient is asked for here")
        return self._function.linearize(x)[1]

    def _kernel(self) -> tuple[str, float]:
        return "function", 0.0

    def pointwise(self, dim: int) -> Pointwise:
        return super().pointwise(dim)._replace(function=self._function)
