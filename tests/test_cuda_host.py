"""The launcher that runs CUDA kernel bodies on the CPU: it must do what a GPU does, and notice
what a GPU would suffer from."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
ASCENDING, DESCENDING = 0, 1


@pytest.mark.parametrize("order", [ASCENDING, DESCENDING])
def test_threads_meet_at_barriers(cuda_host, order):
    threads, blocks, rows = 96, 3, 2
    expected = [
        1000.0 * block + (thread + 1) % threads
        for _ in range(rows)
        for block in range(blocks)
        for thread in range(threads)
    ]
    assert cuda_host.neighbours(True, blocks, rows, order) == expected


def test_a_missing_barrier_shows(cuda_host):
    """Shared memory is NaN before it is written, and one of the two orders reads it before."""
    for order in (ASCENDING, DESCENDING):
        found = cuda_host.neighbours(False, 1, 1, order)
        assert any(value != value for value in found)


@pytest.mark.parametrize("order", [ASCENDING, DESCENDING])
def test_each_block_runs_once_in_no_order(cuda_host, order):
    for blocks, rows in ((1, 1), (2, 1), (7, 3), (60, 5), (1, 64)):
        found = cuda_host.order(blocks, rows, order)
        assert sorted(found) == list(range(blocks * rows))
        if blocks * rows > 9:
            steps = np.diff(found)
            assert (steps < 0).any()
            assert (steps > 0).any()
            assert (np.abs(steps) > 1).all()
            assert found != cuda_host.order(blocks, rows, 1 - order)


@pytest.mark.parametrize("order", [ASCENDING, DESCENDING])
def test_shuffles_and_atomic_additions(cuda_host, order):
    assert cuda_host.total(5, order) == 5 * sum(range(1, 129))


@pytest.mark.parametrize("order", [ASCENDING, DESCENDING])
@pytest.mark.parametrize("count", [3, 200, 5000])
def test_sums_of_parts_are_compensated(cuda_host, order, count):
    """A part is lost beside the sums of the others, but not from the sum of all."""
    parts = np.repeat([1e17, 1.0, -1e17], count)
    parts = np.random.default_rng(count).permutation(parts)
    assert cuda_host.sum_of_parts(parts.tolist(), order) == count


@pytest.mark.parametrize("order", [ASCENDING, DESCENDING])
def test_errors_of_kernels(cuda_host, order):
    with pytest.raises(RuntimeError, match="barrier that others never reach"):
        cuda_host.deadlock(order)
    with pytest.raises(RuntimeError, match="beyond its shared memory"):
        cuda_host.overflow(order)
    assert cuda_host.total(1, order) == sum(range(1, 129))  # and goes on


def told_by(program, tmp_path):
    """Return the lines that a program of tests/programs prints, with the runtime it pretends."""
    headers = ["tests/programs/cuda_runtime", "cuda/include", "cpp/include"]
    source, binary = ROOT / f"tests/programs/{program}.cpp", tmp_path / program
    options = ["-std=c++17", *(f"-I{ROOT / path}" for path in headers)]
    subprocess.run(["g++", *options, source, "-o", binary], check=True)
    done = subprocess.run([binary], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_kernels_are_allowed_all_shared_memory_once_a_device(tmp_path):
    """Not what a call needs, which another thread's call may need more or less of meanwhile."""
    told = told_by("shared_memory", tmp_path)
    assert told == ["first 0 232448", "first 1 101376", "second 0 232448"]


def test_the_device_gets_the_grid_that_was_asked_for(tmp_path):
    told = told_by("device_start", tmp_path)
    assert told == [f"{how} 5 3 7, 128, 4096" for how in ("alone", "made", "changed")]


def test_grids_are_as_large_as_the_gpu(tmp_path):
    """Blocks of a kernel that run at a time, asked once a device and size of shared memory."""
    first = ["asked 128 20000", "660", "asked 128 50000", "264", "asked 128 200000", "1", "660"]
    second = ["asked 128 20000", "50", "asked 128 50000", "20", "asked 128 200000", "1", "50"]
    again = ["660", "264", "1", "660"]
    assert told_by("occupancy", tmp_path) == first + second + again + [str(132 * 2048)]
