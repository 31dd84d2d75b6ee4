"""The kernels on their own, for other data assimilation codes.

Each call checks its arguments and runs on the backend asked for; nothing else happens.
"""

from .etkf import etkf
from .flow import flow_field
from .lenff import lenff
from .letkf import letkf
from .lorenz96 import lorenz96
from .normals import standard_normal
from .score import mixture_score, pairwise_log_weights

__all__ = [
    "etkf",
    "flow_field",
    "lenff",
    "letkf",
    "lorenz96",
    "mixture_score",
    "pairwise_log_weights",
    "standard_normal",
]
