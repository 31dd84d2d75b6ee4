"""Named variables: how the fields of a dataset make a state, and how good each of them is."""

from .layout import Layout
from .level_scores import LevelScores

__all__ = ["Layout", "LevelScores"]
