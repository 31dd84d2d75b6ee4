"""Break kernels and filters one line at a time, and see whether the tests notice.

    python tools/mutants.py [WORD ...] [--out FILE] [--python PYTHON] [--cmake -DNAME=VALUE ...]

A test suite is as good as what it notices. Each mutant of `mutant_list.py` (all of them, or those
whose names hold one of the words) is put into a copy of the working tree under `build/mutants`,
what it needs is built there, the tests that could see it are run until one fails, and the line is
put back. Who changes tests runs it before and after: no more mutants may survive after than before.
One that survives shows what no test looks at.

It needs what CONTRIBUTING.md installs for development. Hours where all of C++ is built again for
each; with ccache (``CMAKE_CXX_COMPILER_LAUNCHER=ccache``) what was built before is not.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pybind11
from mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"

# Longer than any of the selections takes: a mutant may loop without end.
LIMIT_S = 1800


def copy_tree() -> None:
    """Bring the copy up to date; files that are the same keep their dates, and their objects."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    names = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        source, target = ROOT / name, TREE / name
        if not target.is_file() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for path in TREE.rglob("*"):
        made = "__pycache__" in path.parts or path.suffix == ".so"
        if path.is_file() and not made and str(path.relative_to(TREE)) not in names:
            path.unlink()


def build(area: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    """Compile the module of an area of the tree, "cpp" or "cuda", and put it where tests look."""
    folder = WORK / area
    target = "_core" if area == "cpp" else "_cuda_host"
    commands = [["cmake", "--build", str(folder), "--target", target]]
    if not (folder / "build.ninja").exists():
        settings = {
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "ENFILT_CUDA": "OFF",
            "ENFILT_CUDA_HOST_TESTS": "ON" if area == "cuda" else "OFF",
            "ENFILT_LEVELS": "v3",
            "CMAKE_CXX_FLAGS_RELEASE": "-O1 -DNDEBUG",
        }
        given = [f"-D{name}={value}" for name, value in settings.items()]
        commands.insert(0, ["cmake", "-S", str(TREE), "-B", str(folder), "-G", "Ninja", *given])
        commands[0] += options
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    for command in commands:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            return done
    if area == "cpp":
        (found,) = folder.glob("_core*.so")
        shutil.copy2(found, TREE / "python" / "enfilt" / found.name)
    return done


def run_tests(arguments: str) -> tuple[str, str]:
    """Return what became of a mutant, and the first test that failed."""
    environment = {**os.environ, "PYTHONPATH": str(TREE / "python")}
    hosts = list((WORK / "cuda").glob("cuda/_cuda_host*.so"))
    if hosts:
        environment["ENFILT_CUDA_HOST"] = str(hosts[0])
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line"]
    try:
        done = subprocess.run(
            [*command, *shlex.split(arguments)],
            cwd=TREE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "killed", "(without end)"
    if done.returncode == 0:
        return "SURVIVED", ""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == 1 and lines:
        return "killed", lines[0].split(" - ")[0].split(" ", 1)[1]
    if done.returncode < 0 or done.returncode > 128:
        return "killed", "(crashed)"
    return "BROKEN", done.stdout[-300:] + done.stderr[-300:]


def area_of(mutant: Mutant) -> str:
    """Return what has to be built: "cpp", "cuda" or, where it is nothing, "python"."""
    return mutant.path.split("/", 1)[0]


def try_out(mutant: Mutant, options: list[str]) -> tuple[str, str]:
    """Put a mutant in, build, test, and put the line back."""
    path = TREE / mutant.path
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return "DOES NOT APPLY", f"{text.count(mutant.old)} places in {mutant.path}"
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        if area_of(mutant) in ("cpp", "cuda"):
            done = build(area_of(mutant), options)
            if done.returncode:
                return "BROKEN", done.stdout[-600:]
        return run_tests(mutant.tests)
    finally:
        path.write_text(text)


def main() -> None:
    """Try the mutants that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutants whose names hold one of these")
    parser.add_argument("--list", action="store_true", help="names of the mutants, and no more")
    parser.add_argument("--control", action="store_true", help="run the tests, and break nothing")
    parser.add_argument("--out", type=Path, help="a file to which lines are added as well")
    parser.add_argument("--cmake", action="append", default=[], help="further option of CMake")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.words or any(w in m.name for w in options.words)]
    if options.list:
        print(*(mutant.name for mutant in chosen), sep="\n")
        return
    copy_tree()
    areas = {area_of(mutant) for mutant in chosen}
    for area in sorted((areas | {"cpp"}) - {"python"}):  # other tests run on the core, too
        done = build(area, options.cmake)
        if done.returncode:
            sys.exit(done.stdout)
    if options.control:
        for tests in sorted({mutant.tests for mutant in chosen}):
            print(*run_tests(tests), tests, flush=True)
        return
    lived = 0
    for mutant in chosen:
        start = time.monotonic()
        outcome, detail = try_out(mutant, options.cmake)
        lived += outcome != "killed"
        line = f"{outcome:8} {mutant.name}  [{time.monotonic() - start:.0f} s] {detail}"
        print(line, flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(line + "\n")
    print(f"{len(chosen) - lived} of {len(chosen)} killed")
    sys.exit(1 if lived else 0)


if __name__ == "__main__":
    main()
