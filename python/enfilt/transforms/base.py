"""What a transform is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Transform(ABC):
    """An increasing function z = T(x) of each component of a variable.

    A new one defines `forward`, `inverse` and `slope`, on arrays (..., n) of float32 or float64
    that it keeps the dtype of; and where it is not for all numbers, `inside` and `domain`.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> class SquareRoot(ef.transforms.Transform):
    ...     '''For numbers of at least 0.'''
    ...
    ...     domain = "at least 0"
    ...
    ...     def inside(self, x):
    ...         return x >= 0
    ...
    ...     def forward(self, x):
    ...         return np.sqrt(x)
    ...
    ...     def inverse(self, z):
    ...         return np.maximum(z, 0) ** 2
    ...
    ...     def slope(self, z):
    ...         return 2 * np.maximum(z, 0)
    >>> filt = ef.Transformed(ef.ETKF(), SquareRoot())
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.1)
    >>> bool((filt.analysis([[0.1], [0.2], [0.4]], [-0.3], obs) >= 0).all())
    True
    """

    #: The values of a variable that it is for, as an error says them.
    domain: str = "any finite number"
    #: Whether `fitted` makes another transform for each ensemble.
    is_fitted: ClassVar[bool] = False

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return T(x)."""

    @abstractmethod
    def inverse(self, z: Array) -> Array:
        """Return T^-1(z), within the domain whatever z."""

    @abstractmethod
    def slope(self, z: Array) -> Array:
        """Return the derivative of T^-1 at z, for the gradient of what is observed."""

    def inside(self, x: Array) -> npt.NDArray[np.bool_]:
        """Return whether values are in the domain."""
        return np.ones(x.shape, bool)

    def fitted(self, forecast: Array) -> Transform:
        """Return the transform for one forecast ensemble (N, n) of the variable."""
        return self

    def at(self, components: npt.NDArray[np.int64]) -> Transform:
        """Return the transform of some of the n components that it was `fitted` to."""
        return self
