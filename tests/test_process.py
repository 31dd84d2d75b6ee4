"""The kernels in anyone's process: nested teams, forks, Ctrl-C, little memory, compiler options."""

import functools
import gc
import hashlib
import importlib
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import free_threaded
import numpy as np
import pytest
from conftest import BACKENDS

import enfilt as ef
from enfilt import backends

ROOT = Path(__file__).parent.parent
COMPILER = shutil.which("g++")

needs_core = pytest.mark.skipif("cpp" not in BACKENDS, reason="the compiled core is not built")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no g++ here")


def run(code, **settings):
    """Run Python code in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


BATCH = """
import numpy as np, enfilt as ef
x = np.random.default_rng(0).standard_normal((8, 128, 3))
obs = ef.Observation(ef.operators.Arctan(), std=0.05)
print(ef.EnFF(steps=4).analysis(x, np.zeros(3), obs, previous=x, rng=0).tobytes().hex())
"""


@needs_core
@pytest.mark.parametrize(
    "setting",
    [
        {"OMP_MAX_ACTIVE_LEVELS": "2", "OMP_NUM_THREADS": "4"},
        {"OMP_NUM_THREADS": "4,4"},
        {"OMP_PROC_BIND": "spread,close", "OMP_NUM_THREADS": "4"},
        {"OMP_DYNAMIC": "true", "OMP_THREAD_LIMIT": "3", "OMP_NUM_THREADS": "8"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_of_nested_parallelism(setting):
    assert run(BATCH, **setting) == run(BATCH, OMP_NUM_THREADS="1")


def build(source, target, *options):
    """Compile a program against the headers."""
    command = [COMPILER, "-std=c++17", f"-I{ROOT / 'cpp/include'}", *options, source, "-o", target]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_compiler
def test_kernels_in_a_parallel_region_of_the_callers(tmp_path):
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    program = tmp_path / "nested"
    source = ROOT / "tests/programs/nested.cpp"
    made = build(source, program, "-O1", "-fopenmp", "-march=native", *sanitizers)
    assert made.returncode == 0, made.stderr
    plain = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run([program], env=plain, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_core
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_threads_are_kept_from_call_to_call():
    # a region of one thread would end those that the runtime keeps, and they would be made anew
    code = """
import os, numpy as np, enfilt as ef
x = np.random.default_rng(0).standard_normal((4, 50_000))
obs = ef.Observation(ef.operators.Identity(), std=0.5)
filt = ef.EnFF(steps=3, algorithm="streaming")
seen = []
for _ in range(3):
    filt.analysis(x, np.zeros(50_000), obs, previous=x, rng=0)
    ef.kernels.lorenz96(x[:1, :40].copy(), dt=0.01, steps=1, forcing=8.0)
    seen.append(sorted(os.listdir("/proc/self/task")))
assert seen[0] == seen[1] == seen[2], seen
assert len(seen[0]) >= 4, seen
"""
    run(code, OMP_NUM_THREADS="4")


def _analysis(queue, backend):
    try:
        queue.put(_digest(backend))
    except RuntimeError as error:
        queue.put(str(error))


@needs_core
def test_four_threads_in_kernels_at_once_give_the_same_bits():
    assert free_threaded.differing(free_threaded.calls, rounds=3) == []


THREADS = (ROOT / "tests/programs/threads.py").read_text()


@needs_core
def test_any_number_of_threads_gives_the_same_bits():
    one = run(THREADS, OMP_NUM_THREADS="1").splitlines()
    assert len(one) > 25
    for threads in ("2", "3", "7", "64"):
        assert run(THREADS, OMP_NUM_THREADS=threads).splitlines() == one


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="bounds of x86-64 vectors")
def test_many_threads_get_even_shares(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    table = importlib.import_module("shares").shares()
    assert len(table) >= 15
    for kernel, row in table.items():
        for (dim, threads), (_, share) in row.items():
            assert dim < 1000 * threads or share <= 1.15, (kernel, dim, threads)


def _digest(backend):
    x = np.random.default_rng(0).standard_normal((6, 20_000))
    obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    filt = ef.EnFF(steps=2, backend=backend)
    analysis = filt.analysis(x, np.zeros(20_000), obs, previous=x, rng=0)
    return hashlib.sha256(analysis.tobytes()).hexdigest()  # a pipe holds little


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_after_a_call_computes_or_says_so(backend):
    expected = _digest(backend)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_analysis, args=(queue, backend))
    child.start()
    child.join(60)
    hangs = child.is_alive()
    child.kill()
    assert not hangs
    assert child.exitcode == 0
    found = queue.get()
    if backend == "numba":
        assert "fork" in found
        assert "spawn" in found
    else:
        assert found == expected


class AlarmError(Exception):
    """What the handler of a signal raises in place of KeyboardInterrupt."""


@pytest.fixture
def interrupted():
    """Call a function in which SIGALRM's handler raises after a tenth of a second.

    The garbage collector is off meanwhile: a collection in a large process takes longer than that,
    and what a handler raises in a callback of the collector (Hypothesis has one) goes nowhere.
    """
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers here")

    def raise_alarm(number, frame):
        raise AlarmError

    def interrupt(call):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, raise_alarm)
    gc.disable()
    yield interrupt
    gc.enable()
    signal.signal(signal.SIGALRM, before)


def _many(shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


OBS = ef.Observation(ef.operators.Arctan(), std=0.5)
LINE = ef.Observation(ef.operators.Arctan(), std=0.5, grid=ef.grids.RegularGrid((4000,)))
PLANE = ef.Observation(ef.operators.Arctan(), std=0.5, grid=ef.grids.RegularGrid((64, 64)))
PLACES = ef.Observation(
    ef.operators.Arctan(), std=0.5, grid=ef.grids.Points(np.arange(4000.0)[:, None])
)
WIDE = ef.localization.GaspariCohn(cutoff=60.0)


def _analysis_of(filt, shape, obs=OBS):
    x, y = _many(shape), np.zeros(shape[-1], np.float32)
    return lambda: filt.analysis(x, y, obs, previous=x, rng=0)


def _steps_of_lorenz96(shape, steps):
    x = _many(shape)
    return lambda: ef.kernels.lorenz96(x, dt=0.001, steps=steps, forcing=8.0)


def _scores():
    x, truth = _many((3_000, 4_000)), _many(4_000)
    return lambda: backends.get("cpp").score_sums(x, truth)


def _distances():
    x, stage = _many((4_000, 3_000)), backends.Stage(1, 0, 0.5, 0, 1, 0, 1, 0)
    return lambda: backends.get("cpp").squared_distances(x, x, None, stage)


#: What makes each call ready. A call would take minutes, but for the last two: seconds.
LONG = {
    "flow": lambda: _analysis_of(ef.EnFF(steps=100_000, algorithm="streaming"), (20, 20_000)),
    "flow of few components": lambda: _analysis_of(ef.EnFF(steps=10_000_000), (100, 3)),
    "batch of flows": lambda: _analysis_of(ef.EnFF(steps=10_000_000), (4, 50, 40)),
    "reduced": lambda: _analysis_of(
        ef.EnFF(steps=200_000, algorithm="reduced"),
        (100, 500),
        ef.Observation(ef.operators.Identity(), std=0.5),
    ),
    "mixture": lambda: _analysis_of(ef.EnSF(steps=1_000_000), (20, 2_000)),
    "paired": lambda: _analysis_of(ef.EnSF(steps=1_000_000, score="paired"), (20, 2_000)),
    "LETKF": lambda: _analysis_of(ef.LETKF(WIDE), (600, 4_000), LINE),
    "LETKF from lists": lambda: _analysis_of(ef.LETKF(WIDE), (600, 4_000), PLACES),
    "LEnFF on a line": lambda: _analysis_of(ef.LEnFF(WIDE, steps=100_000), (20, 4_000), LINE),
    "LEnFF on a plane": lambda: _analysis_of(
        ef.LEnFF(ef.localization.GaspariCohn(cutoff=8.0), steps=100_000), (20, 4_096), PLANE
    ),
    "Lorenz-96": lambda: _steps_of_lorenz96((20, 10_000), 10_000_000),
    "Lorenz-96 in cache": lambda: _steps_of_lorenz96((2, 40), 1_000_000_000),
    "Navier-Stokes": lambda: functools.partial(
        ef.models.NavierStokes2D(n=64).step, np.zeros((4, 3 * 64 * 64), np.float32), 1_000_000
    ),
    "scores": _scores,
    "distances": _distances,
}


@needs_core
@pytest.mark.parametrize("kernel", LONG)
def test_a_signal_ends_a_kernel(kernel, interrupted):
    call = LONG[kernel]()
    with pytest.raises(AlarmError):
        interrupted(call)


@needs_core
def test_an_interrupted_analysis_leaves_its_inputs_and_the_filter_works_again(interrupted):
    x = _many((20, 20_000))
    y, kept = np.zeros(20_000, np.float32), x.copy()
    filt = ef.EnFF(steps=100_000, algorithm="streaming")
    with pytest.raises(AlarmError):
        interrupted(lambda: filt.analysis(x, y, OBS, previous=x, rng=0, out=x))
    np.testing.assert_array_equal(x, kept)
    assert np.isfinite(ef.EnFF(steps=2).analysis(x, y, OBS, previous=x, rng=0)).all()


@needs_core
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize("shape", [(30_000,), (300, 100)], ids=["line", "plane"])
def test_no_memory_for_scratch_is_a_memory_error(shape):
    # the limit is lowered until nothing is left, with the threads and the result there already
    code = f"""
import resource, numpy as np, enfilt as ef
obs = ef.Observation(ef.operators.Identity(), std=0.5, grid=ef.grids.RegularGrid({shape}))
x = np.random.default_rng(0).standard_normal((20, 30_000))
y, out = np.zeros(30_000), np.empty_like(x)
filt = ef.LEnFF(ef.localization.GaspariCohn(cutoff=3.0), steps=2)
filt.analysis(x, y, obs, out=out)
wide = ef.LEnFF(ef.localization.GaspariCohn(cutoff=90.0), steps=2)
for spare in (0, 2**12, 2**16, 2**18, 2**20):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare, -1))
    try:
        wide.analysis(x, y, obs, out=out)
    except MemoryError:
        print("MemoryError")
"""
    assert "MemoryError" in run(code, OMP_NUM_THREADS="4", MALLOC_TOP_PAD_="0")


@needs_compiler
@pytest.mark.parametrize("option", ["-funsafe-math-optimizations", "-ffinite-math-only", "-Ofast"])
def test_options_that_change_arithmetic_do_not_compile(option, tmp_path):
    source = tmp_path / "program.cpp"
    source.write_text("#include <enfilt/vecmath.hpp>\nint main() {}\n")
    assert "compile without" in build(source, tmp_path / "program", option).stderr
    assert build(source, tmp_path / "program").returncode == 0


@needs_core
@needs_compiler
@pytest.mark.parametrize("level", ["v2", "v3", "v4"])
def test_a_level_asks_for_all_that_its_code_may_use(level):
    core = backends.get("cpp").core
    if not (needs := core.needs_of_level(level)):
        pytest.skip(f"{level} is not built")

    def features(option):
        command = [COMPILER, option, "-Q", "--help=target"]
        lines = subprocess.check_output(command, text=True).splitlines()
        pairs = [line.split() for line in lines]
        return {pair[0][2:] for pair in pairs if len(pair) == 2 and pair[1] == "[enabled]"}

    beyond = features(f"-march=x86-64-{level}") - features("-march=x86-64")
    names = {"abm": "lzcnt", "sse4": "sse4.2", "crc32": "sse4.2", "mwait": "sse3"}  # parts of these
    assert {names.get(name, name) for name in beyond} <= set(needs)
    assert core.level() in core.usable_levels()
