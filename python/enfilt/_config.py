"""What this installation is and can do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from pathlib import Path
from typing import Any

from . import backends

_OPTIONAL = ("numba", "matplotlib", "xarray", "cupy")


def config() -> dict[str, Any]:
    """Return version, backends, SIMD level, threads and optional packages, as a dict."""
    usable = backends.available()
    facts: dict[str, Any] = {
        "enfilt": importlib.metadata.version("enfilt"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "backends": ", ".join(usable),
    }
    if "cpp" in usable:
        core = backends.get("cpp").core  # type: ignore[attr-defined]
        facts["compiler"] = core.compiler
        facts["SIMD level"] = f"{core.level()} of {', '.join(core.usable_levels())}"
        facts["threads"] = core.threads()
    for name, reason in backends.missing().items():
        facts[f"no {name}"] = reason
    for package in _OPTIONAL:
        if importlib.util.find_spec(package) is not None:
            facts[package] = importlib.metadata.version(package)
    return facts


def cmake_dir() -> str:
    """Return the directory of the CMake package: ``-Denfilt_DIR=$(python -c ...)``.

    Examples
    --------
    >>> import enfilt as ef
    >>> ef.cmake_dir().endswith("cmake")
    True
    """
    return str(Path(__file__).parent / "cmake")


def show_config() -> None:
    """Print what this installation is and can do: build, SIMD level, threads, backends.

    Examples
    --------
    >>> import enfilt as ef
    >>> ef.show_config()  # doctest: +ELLIPSIS
    enfilt ...
    """
    facts = config()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
