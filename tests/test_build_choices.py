"""What a build makes of what it finds, tried on stand-ins for nvcc, the driver and compilers."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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


class Hooks(ModuleType):
    """In place of scikit-build-core, which a build has and the tests do not: says what it sees."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **settings: os.environ.get("ENFILT_PURE")


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    skbuild = ModuleType("scikit_build_core")
    skbuild.build = Hooks("build")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scikit_build_core", skbuild)
    spec = importlib.util.spec_from_file_location("backend", ROOT / "tools" / "build_backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("CXX", "CMAKE_ARGS", "ENFILT_PURE"):
        monkeypatch.setenv(name, "")  # so that what the backend sets is undone
        monkeypatch.delenv(name)
    return module


def test_a_compiler_that_can_be_used_is_used(backend: Any) -> None:
    assert backend.trouble() is None
    assert backend.build_wheel("folder") is None


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        (None, "there is no C++ compiler"),
        ("echo 'cl : error D8016: /std is not g++'; exit 2", "error D8016: /std is not g++"),
        ("exit 1", "no message"),
    ],
)
def test_without_a_usable_compiler_the_build_is_pure_and_says_so(
    backend: Any,
    compiler: str | None,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if compiler is not None:
        (tmp_path / "c++").write_text(f"#!/bin/sh\n{compiler}\n")
        (tmp_path / "c++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert backend.build_wheel("folder", {}) == "1"
    said = capsys.readouterr().err
    assert "A PURE-PYTHON INSTALL, as " in said
    assert why in said


def test_a_compiled_install_that_was_asked_for_is_no_pure_one(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "false")
    asked = {"cmake.define.ENFILT_CUDA": "ON"}
    assert backend.build_wheel("folder", asked) is None
    assert backend.get_requires_for_build_wheel(config_settings=asked) is None
    monkeypatch.setenv("ENFILT_PURE", "0")
    assert backend.build_wheel("folder") == "0"
