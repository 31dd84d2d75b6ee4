"""bench/gpu.py on a machine without a GPU: what its parts make of what goes wrong."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("bench_gpu", ROOT / "bench" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def python(code):
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_a_part_that_fails_or_never_ends_takes_no_other_with_it(gpu, tmp_path):
    report = gpu.Report(tmp_path / "gpu")
    parts = {
        "test": [python("print('1 failed'); raise SystemExit(3)"), python("print('not run')")],
        "memcheck": [["no-such-tool", "--tool"]],
        "hang": [python("import time; print('begun', flush=True); time.sleep(60)")],
        "racecheck": [python("print('no hazards')")],
    }
    for name, commands in parts.items():
        gpu.run(gpu.Part(name, commands, 2.0 if name == "hang" else 30.0), report, 60.0)
        assert name in json.loads((tmp_path / "gpu.json").read_text())["parts"]  # at once
    found = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert {name: part["state"] for name, part in found.items()} == {
        "test": "failed (3)",
        "memcheck": "failed (1)",
        "hang": "out of its 2 s",
        "racecheck": "passed",
    }
    assert "no-such-tool" in found["memcheck"]["words"]
    assert found["hang"]["words"] == "begun"
    assert "| racecheck | passed |" in (tmp_path / "gpu.md").read_text()
    assert "not run" not in (tmp_path / "gpu.log").read_text().split("== memcheck")[0].split("\n")
    assert report.failed


ROWS = """
import json, os, sys
def say(**facts): print(json.dumps(facts), flush=True)
say(device="a GPU", driver=13000, copy=4e12)
for name in sys.argv[1:]:
    if name == "dies": os._exit(7)
    if name == "fails":
        say(name=name, error="RuntimeError: illegal address")
        sys.exit(1)
    if name == "lacks":
        say(name=name, error="No module named 'torch'")
        continue
    say(name=name, row=dict(name=name, size="N 20", bytes=1e9, flops=1e9, seconds=1e-3,
                            share=0.5, difference=None, cpu=2e-3))
"""


def test_rows_survive_each_other_and_are_written_as_they_come(gpu, tmp_path, monkeypatch):
    report, written = gpu.Report(tmp_path / "gpu"), []
    real = report.write

    def write():
        real()
        written.append(len(json.loads((tmp_path / "gpu.json").read_text())["rows"]))

    monkeypatch.setattr(report, "write", write)
    part = gpu.Part("time", [], 60.0)
    names = ["first", "dies", "second", "fails", "lacks", "third"]
    gpu.measure([sys.executable, "-c", ROWS], names, report, part, 60.0)
    assert sorted(set(written)) == list(range(7))
    known = json.loads((tmp_path / "gpu.json").read_text())
    found = {row["name"]: row.get("error", "measured") for row in known["rows"]}
    assert list(found) == names
    assert [name for name, what in found.items() if what == "measured"] == [
        *("first", "second", "third")
    ]
    assert "ended with 7" in found["dies"]
    assert known["parts"]["time"]["state"] == "3 of 6 rows"
    page = (tmp_path / "gpu.md").read_text()
    assert page.startswith("a GPU, CUDA driver 13000, copies at 4.00 TB/s")
    assert "| first | N 20 | 1.00 | 1.0 | 1.000 | 50 % |  | 2.0 |" in page


def test_all_parts_stay_within_their_time_and_need_no_pip(gpu, tmp_path):
    parts = gpu.parts(tmp_path, "90-real", 1000)
    assert [part.name for part in parts] == ["build", "test", "time", "memcheck", "racecheck"]
    for part in parts:
        assert not any("pip" in command for command in part.commands)
        assert part.environment["PYTHONPATH"].startswith(str(tmp_path / "site"))
        assert part.environment["ENFILT_REQUIRE_GPU"] == "1"
    assert all(part.environment["ENFILT_GPU_POOL"] == "0" for part in parts[-2:])
    assert gpu.ALL <= 8 * 60


def run_pytest(tmp_path, *arguments, **environment):
    """Run pytest where Hypothesis is not installed."""
    (tmp_path / "hypothesis.py").write_text("raise ImportError('no hypothesis')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-m", "gpu"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_tests_of_the_gpu_need_no_hypothesis(tmp_path):
    done = run_pytest(tmp_path, "--collect-only", "tests")
    assert done.returncode == 0, done.stdout
    for file in ("test_cuda_kernels.py", "test_cuda_backend.py", "test_quality.py"):
        assert f"tests/{file}::" in done.stdout


def test_without_a_gpu_they_skip_or_fail_as_asked(tmp_path):
    from enfilt import backends

    if backends.available(on_device=True):
        pytest.skip("there is a GPU")
    skipped = run_pytest(tmp_path, "tests/test_quality.py")
    assert (skipped.returncode, "1 skipped" in skipped.stdout) == (0, True)
    failed = run_pytest(tmp_path, "tests/test_quality.py", ENFILT_REQUIRE_GPU="1")
    assert failed.returncode == 1
    assert "ENFILT_REQUIRE_GPU=1, but it runs on an NVIDIA GPU" in failed.stdout
