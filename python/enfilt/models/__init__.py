"""Dynamical models, batched over members.

A model of your own is any callable ``(ensemble, steps) -> ensemble``.
"""

from .base import Model
from .kolmogorov import KolmogorovFlow
from .kuramoto_sivashinsky import KuramotoSivashinsky
from .linear import Linear
from .lorenz63 import Lorenz63
from .lorenz96 import Lorenz96
from .navier_stokes import NavierStokes2D
from .two_scale_lorenz96 import TwoScaleLorenz96

__all__ = [
    "KolmogorovFlow",
    "KuramotoSivashinsky",
    "Linear",
    "Lorenz63",
    "Lorenz96",
    "Model",
    "NavierStokes2D",
    "TwoScaleLorenz96",
]
