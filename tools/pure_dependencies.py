"""Metadata of a pure-Python build: without the compiled core, Numba is the fast backend."""

import os
from collections.abc import Mapping
from typing import Any


def dynamic_metadata(settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dependencies that ``ENFILT_PURE=1`` adds; `settings` is the table's rest."""
    pure = os.environ.get("ENFILT_PURE", "").lower() in ("1", "true", "on", "yes")
    return {"dependencies": list(settings["when-pure"]) if pure else []}
