"""Fixtures that several test files share."""

import itertools
import os
import re
import sys

# Before anything reads them: workers of pytest-xdist share the cores, and a thread that spins while
# it waits for another, or a BLAS on all cores for a matrix of 40 x 40, takes them from the tests
# beside it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cuda_host as cuda_host_module
import numpy as np
import pytest
import stand_in_cupy

from enfilt import backends

try:
    import hypothesis
except ImportError:  # on a machine that runs the tests of the GPU alone
    pass
else:
    # The same examples in every run, and no limit on the time of one.
    hypothesis.settings.register_profile(
        "enfilt", derandomize=True, deadline=None, database=None, max_examples=50
    )
    hypothesis.settings.load_profile("enfilt")

BACKENDS = backends.available()
#: Backends other than the oracle, held against it.
OTHERS = [name for name in BACKENDS if name != "numpy"]
#: Backends that run a whole flow analysis in one piece.
FUSED = [name for name in BACKENDS if (b := backends.get(name)).has(b.flow_analysis)]
DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]
#: What is compiled on its own, or written: a backend in a dtype. For `pairs`, as one factor.
KINDS = list(itertools.product(BACKENDS, DTYPES))
OTHER_KINDS = list(itertools.product(OTHERS, DTYPES))


def pytest_ignore_collect(collection_path, config):
    """With ``-m gpu``, import no file without such a test: what others need may not be there."""
    if config.option.markexpr != "gpu" or not re.match(r"test_.*\.py", collection_path.name):
        return None  # as ever
    return None if re.search(r"\bcuda\b", collection_path.read_text()) else True


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each backend that can be used here."""
    return request.param


@pytest.fixture(params=OTHERS)
def other_backend(request):
    """Each backend but NumPy's."""
    return request.param


@pytest.fixture(params=FUSED)
def fused_backend(request):
    """Each backend that runs a whole flow analysis in one piece."""
    return request.param


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    """Both working precisions."""
    return request.param


@pytest.fixture
def rng():
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240607)


@pytest.fixture(scope="session")
def cuda_host(tmp_path_factory):
    """The module that runs the CUDA kernels' bodies on the CPU."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    return cuda_host_module.load(folder / "cuda_host")


@pytest.fixture
def stand_in(cuda_host, monkeypatch):
    """The stand-in for CuPy, with which the CUDA backend runs on the CPU."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy.cupy)
    monkeypatch.setitem(sys.modules, "cupyx.scipy.sparse", stand_in_cupy.sparse)
    monkeypatch.setitem(sys.modules, "enfilt._cuda", cuda_host)
    backends._load.cache_clear()
    yield stand_in_cupy
    backends._load.cache_clear()


ON_GPU = pytest.param("gpu", marks=pytest.mark.gpu)


@pytest.fixture(params=["stand-in", ON_GPU])
def cuda(request):
    """CuPy: the stand-in for it, and with `-m gpu` itself."""
    return cupy_of(request)


def cupy_of(request):
    """Return CuPy as the parameter says, "descending" with the threads of a block in that order.

    ENFILT_REQUIRE_GPU=1: that there is none is no reason to skip, but a failure.
    ENFILT_GPU_POOL=0: each array is an allocation of its own, beyond whose end tools see.
    """
    if request.param != "gpu":
        found = request.getfixturevalue("stand_in")
        if request.param == "descending":
            request.getfixturevalue("monkeypatch").setattr(found, "stream_pointer", 1)
        return found.cupy
    backends._load.cache_clear()
    if reason := backends.missing().get("cuda"):
        if os.environ.get("ENFILT_REQUIRE_GPU") == "1":
            pytest.fail(f"ENFILT_REQUIRE_GPU=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    import cupy

    if os.environ.get("ENFILT_GPU_POOL") == "0":
        cupy.cuda.set_allocator(None)
    return cupy
