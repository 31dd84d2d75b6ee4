"""Priors: what a score filter knows of the forecast distribution, behind one protocol."""

from .base import Estimate, FittedPrior, Noising, Prior, Setting
from .ensemble import EnsemblePrior
from .gaussian import GaussianPrior
from .learned import LearnedPrior

__all__ = [
    "EnsemblePrior",
    "Estimate",
    "FittedPrior",
    "GaussianPrior",
    "LearnedPrior",
    "Noising",
    "Prior",
    "Setting",
]
