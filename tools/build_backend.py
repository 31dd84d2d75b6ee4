"""The build backend: scikit-build-core's, without the compiled core where nothing can compile it.

Where there is no usable C++ compiler, ``ENFILT_PURE=1`` is set before scikit-build-core is asked:
the install is then pure Python, and its fast backend is Numba. Nobody is given less than was asked
for: with ``ENFILT_PURE`` set, or with options for CMake, a failure to compile is an error.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scikit_build_core import build

Settings = Mapping[str, Any] | None

# What the kernels need: vector extensions (GCC and Clang have them, MSVC does not) and C++20.
_PROBE = """
#if !defined(__GNUC__) || (!defined(__clang__) && __GNUC__ < 11)
#error GCC 11 or newer, or Clang, is needed
#endif
#include <concepts>
#include <vector>
typedef float vec __attribute__((vector_size(16)));
template <std::floating_point T> vec twice(T x) { return vec{} + static_cast<float>(2 * x); }
float probe(std::vector<double> x) { return twice(x.at(0))[0]; }
"""


def trouble() -> str | None:
    """Return why the C++ kernels can't be compiled here; None where they can."""
    if chosen := os.environ.get("CXX"):
        compiler = shlex.split(chosen)
    elif sys.platform == "win32":
        return "CMake takes MSVC here, which has no vector extensions"
    else:
        found = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
        if found is None:
            return "there is no C++ compiler"
        compiler = [found]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text(_PROBE)
        command = [*compiler, "-std=c++20", "-fPIC", "-shared", source, "-o", source.with_name("p")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return f"the C++ compiler can't be started ({error})"
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        said = next((line for line in lines if "error" in line), lines[-1])
        return f"the C++ compiler {shlex.join(compiler)} can't be used ({said.strip()})"
    return None


def _choose(settings: Settings) -> None:
    """Set ``ENFILT_PURE=1``, and say so, where nothing can compile and nothing else was asked."""
    asked = "ENFILT_PURE" in os.environ or os.environ.get("CMAKE_ARGS")
    if asked or any(key.split(".")[0] == "cmake" for key in settings or {}):
        return
    if reason := trouble():
        os.environ["ENFILT_PURE"] = "1"
        print(
            f"enfilt: A PURE-PYTHON INSTALL, as {reason}. Its fast backend is Numba. For the C++ "
            "kernels install GCC 11 or newer, or Clang; ENFILT_PURE=0 insists on them.",
            file=sys.stderr,
        )


def _with_choice(hook: str) -> Any:
    def chosen(*arguments: Any, **settings: Any) -> Any:
        position = 0 if hook.startswith("get_requires") else 1
        given = settings.get("config_settings")
        _choose(arguments[position] if len(arguments) > position else given)
        return getattr(build, hook)(*arguments, **settings)

    return chosen


get_requires_for_build_sdist = build.get_requires_for_build_sdist
build_sdist = build.build_sdist
get_requires_for_build_wheel = _with_choice("get_requires_for_build_wheel")
prepare_metadata_for_build_wheel = _with_choice("prepare_metadata_for_build_wheel")
build_wheel = _with_choice("build_wheel")
get_requires_for_build_editable = _with_choice("get_requires_for_build_editable")
prepare_metadata_for_build_editable = _with_choice("prepare_metadata_for_build_editable")
build_editable = _with_choice("build_editable")
