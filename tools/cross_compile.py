"""Compile libenfilt for another machine with Zig's compiler (ziglang from PyPI).

    python tools/cross_compile.py aarch64-linux-musl FOLDER
    python tools/cross_compile.py aarch64-macos FOLDER

writes the library, and programs given with --program that link it statically, to FOLDER: those
for Linux run in qemu-aarch64. Kernels are serial, as Zig brings no OpenMP.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Compile what the command line names."""
    parser = argparse.ArgumentParser(description="Compile libenfilt for another machine with Zig.")
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", type=Path, action="append", default=[], help="a C++ file")
    parser.add_argument("--jobs", default="2")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    zig = [sys.executable, "-m", "ziglang"]
    tools = {"c++": ["c++", "-target", given.target], "ar": ["ar"], "ranlib": ["ranlib"]}
    for name, words in tools.items():
        script = folder / f"zig-{name}"
        script.write_text(f'#!/bin/sh\nexec {" ".join([*zig, *words])} "$@"\n')
        script.chmod(0o755)
    system = "Darwin" if "macos" in given.target else "Linux"
    options = {
        "CMAKE_SYSTEM_NAME": system,
        "CMAKE_SYSTEM_PROCESSOR": given.target.split("-")[0],
        "CMAKE_CXX_COMPILER": folder / "zig-c++",
        "CMAKE_AR": folder / "zig-ar",
        "CMAKE_RANLIB": folder / "zig-ranlib",
        "ENFILT_PYTHON": "OFF",
        "ENFILT_OPENMP": "OFF",
    }
    build = folder / "build"
    defined = [f"-D{name}={value}" for name, value in options.items()]
    subprocess.run(["cmake", "-S", ROOT, "-B", build, *defined], check=True)
    command = ["cmake", "--build", build, "-j", given.jobs, "--target", "enfilt_c_static"]
    subprocess.run(command, check=True)
    for source in given.program:
        command = [folder / "zig-c++", "-std=c++17", "-O1", f"-I{ROOT / 'cpp' / 'include'}"]
        command += [source, build / "libenfilt.a", "-o", folder / source.stem]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
