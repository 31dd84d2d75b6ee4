"""The CUDA kernels' bodies on the CPU: builds and loads the module that runs them."""

import fcntl
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pybind11

ROOT = Path(__file__).resolve().parents[1]


def load(folder):
    """Return the module `_cuda_host`, built in `folder`, or that of ENFILT_CUDA_HOST."""
    given = os.environ.get("ENFILT_CUDA_HOST")
    path = Path(given) if given else _built_once(folder)
    spec = importlib.util.spec_from_file_location("_cuda_host", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _built_once(folder):
    """Build in a folder that several processes share: the first does, the others wait for it."""
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = list(folder.glob("**/_cuda_host*.so"))
        return found[0] if found else _build(folder)


def _build(folder):
    options = {
        "ENFILT_CUDA": "OFF",
        "ENFILT_CUDA_HOST_TESTS": "ON",
        "ENFILT_WERROR": "ON",
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    for command in (
        ["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja"]
        + [f"-D{name}={value}" for name, value in options.items()],
        ["cmake", "--build", folder, "--target", "_cuda_host"],
    ):
        done = subprocess.run(
            [str(part) for part in command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    (found,) = folder.glob("**/_cuda_host*.so")
    return found
