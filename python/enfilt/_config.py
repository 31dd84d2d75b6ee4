"""What this installation is and can do."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
from pathlib import Path
from typing import Any

from . import backends

_OPTIONAL = ("numba", "matplotlib", "xarray")


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
    if kernels := backends.available(on_device=True):
        facts["backends"] += f"; on CuPy arrays: {', '.join(kernels)}"
    facts |= _gpu()
    for name, reason in backends.missing().items():
        facts[f"no {name}"] = reason
    for package in _OPTIONAL:
        if importlib.util.find_spec(package) is not None:
            facts[package] = importlib.metadata.version(package)
    # CuPy's distributions carry the toolkit's version in their names
    for name in importlib.metadata.packages_distributions().get("cupy", []):
        facts["cupy"] = f"{name} {importlib.metadata.version(name)}"
    return facts


def _gpu() -> dict[str, str]:
    """Return what there is of the CUDA kernels, the driver and the device."""
    try:
        core = importlib.import_module("enfilt._cuda")
    except ImportError:
        return {}
    facts = {"CUDA kernels": f"toolkit {core.toolkit}, for {core.architectures}"}
    if version := core.driver():
        facts["CUDA driver"] = f"CUDA {version // 1000}.{version % 1000 // 10}"
    count, _ = core.devices()
    if count:
        facts["GPUs"] = str(count)
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


def get_include() -> str:
    """Return the directory of ``enfilt.h``, ``enfilt.f90`` and the C++ headers: ``-I$(...)``.

    Examples
    --------
    >>> import enfilt as ef
    >>> ef.get_include().endswith("include")
    True
    """
    return str(Path(__file__).parent / "include")


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
