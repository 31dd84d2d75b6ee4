"""Fixtures that several test files share."""

import hypothesis
import numpy as np
import pytest

from enfilt import backends

# The same examples in every run, and no limit on the time of one.
hypothesis.settings.register_profile(
    "enfilt", derandomize=True, deadline=None, database=None, max_examples=50
)
hypothesis.settings.load_profile("enfilt")

BACKENDS = backends.available()
#: Backends other than the oracle, held against it.
OTHERS = [name for name in BACKENDS if name != "numpy"]
#: Backends that run a whole flow analysis in one piece.
FUSED = [name for name in BACKENDS if backends.get(name).has_flow_analysis]


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


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Both working precisions."""
    return np.dtype(request.param)


@pytest.fixture
def rng():
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240607)
