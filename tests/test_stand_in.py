"""The stand-in for CuPy takes no arguments that CuPy does not: held against CuPy itself.

CuPy imports without a GPU (``pip install cupy-cuda13x``). Where it is not installed, what the
stand-in refuses is looked at alone.
"""

import inspect
import re

import numpy as np
import pytest
from stand_in_cupy import TAKES, UFUNCS, cupy


def parameters(function):
    """Return the names of what a function takes; None where it takes anything."""
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of Cython: the first line of its docstring tells
        line = (function.__doc__ or "").strip().split("\n")[0]
        told = re.search(r"\((.*)\)", line)
        if told is None:
            return None
        return set(re.findall(r"(?:^|,)\s*(?:[\w.]+ )?(\w+)", told[1]))
    if any(p.kind in (p.VAR_KEYWORD,) for p in found.values()):
        return None
    return set(found)


def test_what_it_takes_is_what_cupy_takes():
    real = pytest.importorskip("cupy", reason="CuPy is not installed")
    wrong = {name for name in UFUNCS if not callable(getattr(real, name, None))}
    for name, signature in TAKES.items():
        home = real
        for part in name.split("."):
            home = getattr(home, part)
        known = parameters(home)
        named = {k for k, p in signature.parameters.items() if p.kind is not p.VAR_POSITIONAL}
        if known is not None and not named - {"self"} <= known:
            wrong.add(f"{name}{signature} takes {sorted(named - known)}")
    assert wrong == set()


def test_it_refuses_what_cupy_refuses():
    x = cupy.asarray(np.arange(3.0))
    with pytest.raises(TypeError, match=r"cupy\.ndarray\.max: .*'initial'"):
        x.max(initial=0.0)
    with pytest.raises(TypeError, match=r"cupy\.stack: .*'out'"):
        cupy.stack([x, x], out=x)
    with pytest.raises(TypeError, match="Wrong arguments"):
        np.add(x, x, where=[True, False, True])
    with pytest.raises(TypeError):
        np.hypot(x, x)  # CuPy has it; enfilt does not use it
    with pytest.raises(AttributeError, match=r"the stand-in for CuPy has no linalg\.svd"):
        cupy.linalg.svd  # noqa: B018
