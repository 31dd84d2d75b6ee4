"""What a build makes of what it finds, tried on stand-ins for nvcc and the driver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROJECT = f"""
cmake_minimum_required(VERSION 3.21)
project(choice LANGUAGES CXX)
set(ENFILT_CUDA AUTO CACHE STRING "")
include({ROOT}/cmake/EnfiltCuda.cmake)
enfilt_choose_cuda(build)
message(STATUS "chosen: ${{build}}")
"""


def stand_in_nvcc(folder: Path, release: str) -> None:
    nvcc = folder / "nvcc"
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.1'\n")
    nvcc.chmod(0o755)


def stand_in_driver(folder: Path, answer: int) -> None:
    source = folder / "driver.c"
    source.write_text(f"int cuInit(unsigned flags) {{ return flags ? 1 : {answer}; }}\n")
    library = folder / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)


def choose(folder: Path, *options: str) -> tuple[int, str]:
    """Configure with what stands in the folder before all else; return status and output."""
    (folder / "CMakeLists.txt").write_text(PROJECT)
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(folder),
    }
    environment.pop("CUDACXX", None)
    python = f"-DPython_EXECUTABLE={sys.executable}"
    done = subprocess.run(
        ["cmake", "-S", folder, "-B", folder / "build", python, *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for the driver is an ELF library")
@pytest.mark.parametrize(
    ("release", "driver", "why"),
    [
        ("11.8", 0, "is of CUDA 11.8 (needed: 12.4 or newer)"),
        ("12.10", 100, "no NVIDIA driver with a GPU answers"),  # CUDA_ERROR_NO_DEVICE
        ("12.4", 0, "compiles nothing with this C++ compiler"),
    ],
)
def test_auto_skips_cuda_and_says_why_and_how_to_ask(
    release: str, driver: int, why: str, tmp_path: Path
) -> None:
    stand_in_nvcc(tmp_path, release)
    stand_in_driver(tmp_path, driver)
    status, said = choose(tmp_path)
    assert status == 0, said
    assert "chosen: OFF" in said
    assert f"{why}; to build them: -DENFILT_CUDA=ON" in said


def test_asked_for_cuda_without_a_usable_nvcc_is_an_error(tmp_path: Path) -> None:
    stand_in_nvcc(tmp_path, "11.8")
    status, said = choose(tmp_path, "-DENFILT_CUDA=ON")
    assert status != 0
    assert "asks for the CUDA kernels, but" in said
    assert "is of CUDA 11.8 (needed: 12.4 or newer)" in said


def test_cuda_that_is_not_wanted_is_not_looked_for(tmp_path: Path) -> None:
    status, said = choose(tmp_path, "-DENFILT_CUDA=OFF")
    assert status == 0, said
    assert "chosen: OFF" in said
    assert "CUDA kernels" not in said
