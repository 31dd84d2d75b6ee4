"""Observation operators h, mapping states (..., D) to observations (..., m).

Component-wise ones, alone or after a choice of components, run inside the compiled kernels; the
others are called once a sampler step. What the `__all__` of a module here names is public.
"""

from typing import TYPE_CHECKING

from .base import *
from .componentwise import *
from .custom import *
from .interpolation import *
from .linear import *
from .scalar_function import *
from .selection import *

if not TYPE_CHECKING:  # a type checker follows the lines above
    __all__ = sorted(name for name, value in vars().items() if callable(value) and name[0] != "_")
