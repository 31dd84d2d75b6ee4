"""Transforms of variables: analyses in a space where they have no bounds, or are more Gaussian.

They are given to a filter by `enfilt.Transformed`.
"""

from .base import Transform
from .elementary import Log, Logit
from .rank_gaussian import RankGaussian

__all__ = ["Log", "Logit", "RankGaussian", "Transform"]
