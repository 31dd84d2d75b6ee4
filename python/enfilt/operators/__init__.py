"""Observation operators h, mapping states (..., D) to observations (..., m).

Component-wise ones, alone or after a choice of components, run inside the compiled kernels; the
others are called once a sampler step.
"""

from .base import Compose, Operator
from .componentwise import Arctan, Identity, Power, Sigmoid, Tanh
from .custom import Custom
from .interpolation import Interpolated, interpolate
from .linear import Linear
from .scalar_function import Componentwise
from .selection import Every, Mask, Subset

__all__ = [
    "Arctan",
    "Componentwise",
    "Compose",
    "Custom",
    "Every",
    "Identity",
    "Interpolated",
    "Linear",
    "Mask",
    "Operator",
    "Power",
    "Sigmoid",
    "Subset",
    "Tanh",
    "interpolate",
]
