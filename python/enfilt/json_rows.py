"""What the shell's tables show, as JSON, for the scripts of those who read them by program."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._files import replacing

#: The path that stands for standard output.
STANDARD_OUTPUT = Path("-")


def write(content: Any, path: Path) -> None:
    """Write rows to a file, whole or not at all, or to standard output.

    Parameters
    ----------
    content : list or dict
        Of numbers, texts, and more of these. JSON has no NaN and no infinity: null stands for them.
    path : Path
        ``-``: standard output.
    """
    text = json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
