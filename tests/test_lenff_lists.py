"""The LEnFF where every place has a list of its own: all backends against NumPy's sums.

Tolerance: as in test_lenff_backends.py, with all m observations in a list.
"""

import numpy as np
import pytest
from conftest import OTHER_KINDS
from pairs import pairs
from scipy import sparse

import enfilt as ef
from enfilt.filters import kept_lists, list_parts
from enfilt.grids import Points, RegularGrid
from enfilt.localization import GaspariCohn
from enfilt.operators import Arctan, Custom, Linear

STEPS = 3


def tolerance(members, observations, dtype):
    return STEPS * (2 * members + observations) * np.finfo(dtype).eps


def compare(backend, members, obs, cutoff, dtype):
    rng = np.random.default_rng(members)
    truth = rng.standard_normal(obs.grid.size)
    x = (truth + rng.standard_normal((members, truth.size))).astype(dtype)
    y = obs.simulate(truth, rng).astype(dtype)
    y[::4] = np.nan
    found, wanted = (
        ef.LEnFF(GaspariCohn(cutoff), steps=STEPS, backend=b).analysis(x, y, obs)
        for b in (backend, "numpy")
    )
    assert found.dtype == dtype
    assert not np.array_equal(found, x) or y.size == 1
    error = np.abs(found.astype(np.float64) - wanted).max() / np.abs(wanted).max()
    assert error <= tolerance(members, y.size, dtype)


@pytest.mark.filterwarnings("ignore:every component sees every observation")
@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "members": [2, 3, 8, 20, 33],
        "dim": [1, 2, 33, 257],
        "cutoff": [0.01, 2.0, 100.0],
    }
)
def test_coordinates_of_the_user(other_backend, dtype, members, dim, cutoff):
    places = np.random.default_rng(dim).uniform(0, 10, (dim, 2))
    obs = ef.Observation(Arctan(), std=0.3, grid=Points(places))
    compare(other_backend, members, obs, cutoff, dtype)


@pairs({"other_backend, dtype": OTHER_KINDS, "members": [2, 20, 33], "together": [True, False]})
def test_several_variables(other_backend, dtype, members, together):
    grid = RegularGrid((6, 7), variables=3, between_variables=together)
    compare(other_backend, members, ef.Observation(Arctan(), std=0.3, grid=grid), 2.5, dtype)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("bound", [kept_lists.KEPT, 2000])
def test_components_at_one_place(other_backend, dtype, given, bound, monkeypatch):
    """They share a list, however many there are and wherever they stand; also in several parts."""
    monkeypatch.setattr(kept_lists, "KEPT", bound)
    monkeypatch.setattr(list_parts, "_PAIRS", bound)
    rng = np.random.default_rng(2)
    at = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 20, 60)))
    grid = Points(rng.uniform(0, 12, (60, 2))[at])
    chosen = rng.permutation(grid.size)[:70]
    obs = ef.Observation(Arctan() @ ef.operators.Subset(chosen), 0.3, grid=grid)
    x = rng.standard_normal((21, grid.size)).astype(dtype)
    y = rng.standard_normal(70).astype(dtype)
    y[::9] = np.nan
    options = {"observed": np.arctan(x[:, chosen])} if given else {}
    found, wanted = (
        ef.LEnFF(GaspariCohn(1.5), steps=STEPS, backend=b).analysis(x, y, obs, **options)
        for b in (other_backend, "numpy")
    )
    assert np.abs(found - wanted).max() <= tolerance(21, 70, dtype) * np.abs(wanted).max()
    assert 0 < (found == x).all(axis=0).sum() < grid.size


@pytest.mark.parametrize("kind", ["linear", "custom"])
def test_operators_evaluated_once_a_step(other_backend, dtype, kind):
    pairs = sparse.diags([0.5, 0.5], [0, 1], shape=(39, 40), format="csr")
    matrix = pairs.toarray()
    custom = Custom(lambda x: np.tanh(x @ matrix.T.astype(x.dtype)))
    operator = Linear(pairs) if kind == "linear" else custom
    places = np.arange(39.0)[:, None] + 0.5
    obs = ef.Observation(operator, std=0.3, grid=RegularGrid((40,)), locations=places)
    compare(other_backend, 20, obs, 4.0, dtype)


def test_bits_do_not_depend_on_threads(other_backend, monkeypatch, dtype):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    places = np.random.default_rng(0).uniform(0, 30, (900, 2))
    obs = ef.Observation(Arctan(), std=0.3, grid=Points(places))
    rng = np.random.default_rng(1)
    x = rng.standard_normal((20, 900)).astype(dtype)
    y = rng.standard_normal(900).astype(dtype)
    filt = ef.LEnFF(GaspariCohn(4.0), backend=other_backend)
    results = []
    for threads in (1, 2, 7):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads):
            results.append(filt.analysis(x, y, obs))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
