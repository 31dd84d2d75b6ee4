"""The filters of this library: what the `__all__` of a module here names is `enfilt`'s as well."""

from typing import TYPE_CHECKING

from .enff import *
from .enkf import *
from .enks import *
from .ensf import *
from .etkf import *
from .ienkf import *
from .ienks import *
from .ilenff import *
from .kalman_filter import *
from .lenff import *
from .letkf import *
from .masf import *
from .particle import *
from .score_filter import *
from .ssls import *
from .transformed import *

if not TYPE_CHECKING:  # a type checker follows the lines above
    __all__ = [name for name, value in vars().items() if isinstance(value, type)]
