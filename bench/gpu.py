"""Build, test, time and check the CUDA kernels on this machine's GPU, within eight minutes.

    python bench/gpu.py --to bench/results/gpu-name

It needs nvcc, CMake, Ninja, a C++ compiler, and in this Python pybind11, CuPy, pytest and what
enfilt itself needs; no network, and nothing is installed: CMake builds into a folder, and that is
what `PYTHONPATH` then begins with. PyTorch is of use where it is there.

The parts are independent: one that fails, or takes longer than its time, is told so and the others
run as ever. What is known stands in NAME.json and NAME.md after each part and each row, and what
the parts have printed in NAME.log. The exit status is 1 where a part has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Seconds for all parts together.
ALL = 480
#: Tests that the sanitizers run: a few small sizes of each kernel, in one dtype.
SANITIZED = (
    "float32 and not 1000003 and not 1_000_003 and not many and not large and not 100003 "
    "and not 4099 and not 257 and not 1025 and not heun and not True "
    "and not models and not operators"
)


@dataclass(frozen=True)
class Part:
    """Commands that are run one after the other until one fails, and how long they may take."""

    name: str
    commands: list[list[str]]
    seconds: float
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """What is known so far, in files that are written anew whenever that is more."""

    to: Path
    known: dict[str, Any] = field(default_factory=lambda: {"parts": {}, "rows": []})

    def log(self, line: str) -> None:
        print(line, end="", flush=True)
        with self.to.with_suffix(".log").open("a") as log:
            log.write(line)

    def add(self, **facts: Any) -> None:
        if "name" in facts:
            self.known["rows"].append(facts)
        else:
            self.known |= facts
        self.write()

    def add_part(self, name: str, **facts: Any) -> None:
        self.known["parts"][name] = facts
        self.write()

    def write(self) -> None:
        self.to.with_suffix(".json").write_text(json.dumps(self.known, indent=1) + "\n")
        self.to.with_suffix(".md").write_text("\n".join(self.page()) + "\n")

    def page(self) -> Iterator[str]:
        known = self.known
        if "device" in known:
            yield (
                f"{known['device']}, CUDA driver {known['driver']}, copies at "
                f"{known['copy'] / 1e12:.2f} TB/s (read and written)\n"
            )
        yield "| part | | s | last words |"
        yield "| --- | --- | ---: | --- |"
        for name, part in known["parts"].items():
            yield f"| {name} | {part['state']} | {part['seconds']:.0f} | {part['words']} |"
        yield ""
        if known["rows"]:
            yield "| kernel | size | GB | Gflop | ms | of a copy | difference | 2 CPU cores, ms |"
            yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
        for found in known["rows"]:
            yield line_of(found)

    @property
    def failed(self) -> bool:
        return any(part["state"] != "passed" for part in self.known["parts"].values())


def line_of(found: dict[str, Any]) -> str:
    if "error" in found:
        return f"| {found['name']} | {found['error']} | | | | | | |"
    row = found["row"]
    difference = "" if row["difference"] is None else f"{row['difference']:.1e}"
    cpu = "" if row["cpu"] is None else f"{1e3 * row['cpu']:.1f}"
    return (
        f"| {row['name']} | {row['size']} | {row['bytes'] / 1e9:.2f} | {row['flops'] / 1e9:.1f} "
        f"| {1e3 * row['seconds']:.3f} | {100 * row['share']:.0f} % | {difference} | {cpu} |"
    )


@contextlib.contextmanager
def lines_of(
    command: list[str], seconds: float, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """Start a command; after some seconds it ends, with all that it has started."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    clock = threading.Timer(max(seconds, 0.0), end)
    clock.start()
    try:
        yield process, iter(process.stdout)
    finally:
        clock.cancel()
        if process.poll() is None:
            end()
        process.wait()
        process.stdout.close()


def run(part: Part, report: Report, left: float) -> None:
    """Run a part and say what became of it."""
    seconds = min(part.seconds, left)
    begin, state, words = time.monotonic(), "passed", ""
    for command in part.commands:
        report.log(f"\n== {part.name}: {' '.join(command)}\n")
        rest = seconds - (time.monotonic() - begin)
        try:
            with lines_of(command, rest, part.environment) as (process, lines):
                for line in lines:
                    report.log(line)
                    words = line.strip() or words
                status = process.wait()
        except OSError as error:  # such as a tool that is not there
            status, words = 1, str(error)
        if status:
            late = time.monotonic() - begin >= seconds
            state = f"out of its {seconds:.0f} s" if late else f"failed ({status})"
            break
    words = words.replace("|", "/")[:200]
    report.add_part(part.name, state=state, seconds=time.monotonic() - begin, words=words)


def measure(command: list[str], names: list[str], report: Report, part: Part, left: float) -> None:
    """Run the rows in processes of their own: one that dies takes no other with it.

    `command` with names behind it prints JSON, as `gpu_rows.py` does.
    """
    seconds = min(part.seconds, left)
    begin, lost = time.monotonic(), 0
    waiting = list(names)
    while waiting and time.monotonic() - begin < seconds:
        report.log(f"\n== {part.name}: {' '.join(waiting)}\n")
        words, before = "", len(waiting)
        rest = seconds - (time.monotonic() - begin)
        with lines_of([*command, *waiting], rest, part.environment) as (process, lines):
            for line in lines:
                report.log(line)
                facts = _facts(line)
                if facts is None:
                    words = line.strip() or words
                    continue
                report.add(**facts)
                if "name" in facts:
                    waiting.remove(facts["name"])
                    lost += "error" in facts
            status = process.wait()
        if not status:
            break
        if waiting and len(waiting) == before:  # nothing was said of the first
            report.add(name=waiting.pop(0), error=f"ended with {status}: {words[:200]}")
            lost += 1
    for name in waiting:
        report.add(name=name, error="no time was left")
    state = "passed" if not lost and not waiting else f"{lost + len(waiting)} of {len(names)} rows"
    words = "" if state == "passed" else "without a figure, as their lines say"
    report.add_part(part.name, state=state, seconds=time.monotonic() - begin, words=words)


def _facts(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def build_commands(folder: Path, architectures: str) -> list[list[str]]:
    """Return the commands that build the package in a folder, of which `site` is to be imported."""
    import pybind11

    options = {
        "CMAKE_INSTALL_PREFIX": folder / "site",
        "ENFILT_CUDA": "ON",
        "ENFILT_CUDA_ARCHITECTURES": architectures,
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    processor = Path("/proc/cpuinfo")
    if processor.exists() and "avx" in (flags := processor.read_text()):
        options["ENFILT_LEVELS"] = "v4" if "avx512bw" in flags else "v3"  # of this machine alone
    given = [f"-D{name}={value}" for name, value in options.items()]
    return [
        ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", *given],
        ["cmake", "--build", str(folder)],
        ["cmake", "--install", str(folder)],
        [sys.executable, str(Path(__file__).resolve()), "--copy-to", str(folder / "site")],
    ]


def parts(folder: Path, architectures: str, dim: int) -> list[Part]:
    scripts = str(Path(sys.executable).parent)  # of a virtual environment: CMake and Ninja
    path = os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
    environment = {
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": path.rstrip(os.pathsep),
        "ENFILT_REQUIRE_GPU": "1",
    }
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    # what one file lacks costs no other
    pytest += ["-rfE", "--tb=short", "--continue-on-collection-errors"]
    apart = ["-n", "4"] if importlib.util.find_spec("xdist") else []
    found = [
        Part("build", build_commands(folder, architectures), 170, environment),
        Part("test", [[*pytest, *apart, "tests"]], 110, environment),
        Part("time", [], 120, environment | {"OMP_NUM_THREADS": "2"}),
    ]
    for tool in ("memcheck", "racecheck"):
        checked = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1"]
        checked += ["--target-processes", "all", *pytest, "tests/test_cuda_kernels.py"]
        # inside a block of CuPy's pool no overrun is seen
        alone = environment | {"ENFILT_GPU_POOL": "0"}
        found.append(Part(tool, [[*checked, "-k", SANITIZED]], 80, alone))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="PART", help="build, test, time, ...")
    parser.add_argument("--dim", type=int, default=10_000_000)
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "gpu-report")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--architectures", default="native")
    parser.add_argument("--copy-to", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.copy_to:  # the package's Python files, beside what was compiled
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        to = options.copy_to / "enfilt"
        shutil.copytree(ROOT / "python" / "enfilt", to, ignore=ignored, dirs_exist_ok=True)
        return 0
    options.to.parent.mkdir(parents=True, exist_ok=True)
    options.to.with_suffix(".log").unlink(missing_ok=True)
    report, begin = Report(options.to), time.monotonic()
    for part in parts(options.folder.resolve(), options.architectures, options.dim):
        left = ALL - (time.monotonic() - begin)
        if options.only and part.name not in options.only:
            continue
        if part.name == "time":
            sys.path.insert(0, str(Path(__file__).parent))
            from gpu_rows import KERNELS

            rows = str(Path(__file__).with_name("gpu_rows.py"))
            command = [sys.executable, rows, "--dim", str(options.dim)]
            measure(command, list(KERNELS), report, part, left)
        else:
            run(part, report, left)
    print("\n" + "\n".join(report.page()))
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
