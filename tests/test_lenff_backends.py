"""The LEnFF's kernels against NumPy's lists: sizes, choices and numbers that they might trip over.

Tolerance: a step adds 2 N products for each of W places and then W terms, and multiplies what was
there by no more than one; if all roundings had the same sign, `steps` of them would leave
steps (2 N + W) eps of the largest value. Both sides round, and NumPy's h is of the dtype, too.
"""

import math

import numpy as np
import pytest
from conftest import OTHER_KINDS
from pairs import pairs

import enfilt as ef
from enfilt import backends
from enfilt.filters.neighbours import window
from enfilt.grids import RegularGrid
from enfilt.localization import GaspariCohn
from enfilt.operators import Arctan, Every, Identity, Mask, Power, Sigmoid, Subset, Tanh

STEPS = 3
# One component; a vector, one less and one more; more than the kernels' rows of 256; a ring that
# lanes share evenly and two that they don't.
SIZES = [1, 2, 15, 16, 17, 31, 33, 257, 1000, 1024]
GRIDS = [(1, 9), (9, 1), (2, 3), (7, 9), (33, 64)]


def problem(members, dim, obs, dtype, missing=0.2, spread=1.0, seed=0):
    """A forecast and observations of a truth within its spread."""
    rng = np.random.default_rng([members, dim, seed])
    truth = 2 * rng.standard_normal(dim)
    forecast = truth + spread * rng.standard_normal((members, dim))
    y = obs.simulate(truth, rng)
    y[rng.random(y.size) < missing] = np.nan
    return forecast.astype(dtype), y.astype(dtype)


def tolerance(found, members, grid, taper):
    """The bound above, relative to the largest value."""
    places = window(grid, taper).weights.size
    return STEPS * (2 * members + places) * np.finfo(found.dtype).eps


def assert_like_numpy(backend, x, y, obs, taper, **options):
    """Compare with the oracle; return the analysis."""
    found, wanted = (
        ef.LEnFF(taper, steps=STEPS, backend=b, **options).analysis(x, y, obs)
        for b in (backend, "numpy")
    )
    assert found.dtype == x.dtype
    error = np.abs(found.astype(np.float64) - wanted).max() / np.abs(wanted).max()
    assert error <= tolerance(found, x.shape[-2], obs.grid, taper)
    return found


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "dim": SIZES,
        "periodic": {"ring": True, "edges": False},
    }
)
def test_lines(other_backend, dtype, dim, periodic):
    grid = RegularGrid((dim,), periodic=periodic)
    obs = ef.Observation(Arctan(), std=0.4, grid=grid)
    for members in (2, 3, 20, 33):
        x, y = problem(members, dim, obs, dtype)
        assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=5.5))


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "shape": GRIDS,
        "periodic": {"ring": True, "edges": False},
    }
)
def test_grids_of_two_axes(other_backend, dtype, shape, periodic):
    grid = RegularGrid(shape, periodic=periodic, spacing=0.5)
    obs = ef.Observation(Arctan(), std=0.4, grid=grid)
    for members in (2, 20, 33):
        x, y = problem(members, grid.size, obs, dtype)
        assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=1.7))


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "dim": [2048, 2049, 3333, 4099],
        "periodic": {"ring": True, "edges": False},
    }
)
def test_lines_of_several_blocks(other_backend, dtype, dim, periodic):
    obs = ef.Observation(Arctan(), std=0.4, grid=RegularGrid((dim,), periodic=periodic))
    x, y = problem(3, dim, obs, dtype)
    assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=7.0))


@pytest.mark.filterwarnings("ignore:every component sees every observation")
@pytest.mark.filterwarnings("ignore:cutoff=:UserWarning")
@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "cutoff": [0.5, 1.0, 1.01, 4.5, 20.0, 21.0, 39.0, 1000.0, np.inf],
        "shape": [(40,), (41,), (7, 9)],
        "periodic": {"ring": True, "edges": False},
    }
)
def test_cutoffs_from_within_the_spacing_to_beyond_the_domain(
    other_backend, dtype, cutoff, shape, periodic
):
    grid = RegularGrid(shape, periodic=periodic)
    obs = ef.Observation(Arctan(), std=0.4, grid=grid)
    x, y = problem(7, grid.size, obs, dtype)
    assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=cutoff))


FUNCTIONS = [Identity(), Arctan(), Tanh(), Sigmoid(0.7), Power(2), Power(3), Power(1.5)]
DIM = 90
CHOICES = {
    "all": Identity(),
    "one": Subset([44]),
    "unsorted": Subset([60, 3, 4, 5, 89, 11, 0]),
    "every second": Every(2),
    "every seventh": Every(7, offset=6),
    "further than the cutoff": Every(30, offset=2),
    "mask": Mask(np.random.default_rng(5).random(DIM) < 0.4),
    "half": Mask(np.arange(DIM) < 45),
}


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "choice": CHOICES,
        "function": FUNCTIONS,
        "shape": [(DIM,), (9, 10)],
    }
)
def test_functions_of_chosen_components(other_backend, dtype, choice, function, shape):
    grid = RegularGrid(shape)
    obs = ef.Observation(function @ choice, std=0.5, grid=grid)
    x, y = problem(6, DIM, obs, dtype, spread=0.3)
    assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=3.6))


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "missing": [0.0, 0.5, 0.97, 1.0],
        "shape": [(300,), (15, 20)],
    }
)
def test_observations_are_missing(other_backend, dtype, missing, shape):
    obs = ef.Observation(Arctan(), std=0.4, grid=RegularGrid(shape))
    x, y = problem(6, 300, obs, dtype, missing=missing)
    analysis = assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=3.5))
    if missing == 1:
        assert np.array_equal(analysis, x)
    far = np.full(300, np.nan, dtype)
    far[150:160] = y[150:160] if missing < 0.9 else 0.1
    analysis = assert_like_numpy(other_backend, x, far, obs, GaspariCohn(cutoff=3.5))
    assert np.array_equal(analysis[:, :60], x[:, :60])  # at least four rows away


@pytest.mark.parametrize("shape", [(300,), (15, 20)])
def test_an_error_for_each_observation(other_backend, dtype, shape):
    rng = np.random.default_rng(1)
    for operator, size in ((Arctan(), 300), (Arctan() @ Every(3, offset=1), 100)):
        std = np.exp(rng.uniform(-4, 4, size))
        obs = ef.Observation(operator, std=std, grid=RegularGrid(shape))
        x, y = problem(6, 300, obs, dtype)
        assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=3.5))


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "std": [1e-6, 1e-18, 1e15],
        "shape": [(300,), (15, 20)],
    }
)
def test_errors_tiny_and_huge(other_backend, dtype, std, shape):
    """1/r^2 of 1e36 is close to the largest float32; with little of it nothing moves.

    Arctan of 5 has a slope of 1/26, by which an exact observation divides the rounding of h: it is
    only looked at whether it overflows.
    """
    taper = GaspariCohn(cutoff=3.5)
    obs, flat = (
        ef.Observation(h, std=std, grid=RegularGrid(shape)) for h in (Identity(), Arctan())
    )
    x, y = problem(6, 300, ef.Observation(Identity(), std=0.1), dtype)
    analysis = assert_like_numpy(other_backend, x, y, obs, taper)
    assert (np.abs(analysis - x).max() < 1e-20) == (std > 1)
    filt = ef.LEnFF(taper, backend=other_backend)
    assert np.isfinite(filt.analysis(x, np.arctan(y), flat)).all()


@pytest.mark.parametrize("shape", [(100,), (10, 10)])
def test_nothing_moves_where_products_leave_the_range_of_normal_numbers(
    other_backend, dtype, shape
):
    """A precision that makes up for it would move members by their rounding."""
    least = np.sqrt(np.finfo(dtype).tiny)
    obs = ef.Observation(Identity(), std=max(10 * least, 1e-150), grid=RegularGrid(shape))
    x = (least / 50 * np.random.default_rng(0).standard_normal((6, 100))).astype(dtype)
    filt = ef.LEnFF(GaspariCohn(cutoff=3.5), backend=other_backend)
    assert np.array_equal(filt.analysis(x, np.ones(100, dtype), obs), x)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_members_close_together_and_far_apart(other_backend, dtype, scale):
    """Products of anomalies may leave the range of normal numbers, but nothing overflows."""
    obs = ef.Observation(Identity(), std=0.3 * scale, grid=RegularGrid((100,)))
    x, y = problem(6, 100, ef.Observation(Identity(), std=0.3), dtype)
    x, y = (dtype.type(scale) * a for a in (x, y))
    analysis = assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=3.5))
    assert np.isfinite(analysis).all()


@pytest.mark.parametrize("shape", [(300,), (15, 20)])
def test_batches(other_backend, dtype, shape):
    obs = ef.Observation(Arctan(), std=0.4, grid=RegularGrid(shape))
    parts = [problem(6, 300, obs, dtype, seed=s) for s in range(3)]
    parts[1][1][:] = np.nan
    x, y = (np.array(a) for a in zip(*parts, strict=True))
    whole = assert_like_numpy(other_backend, x, y, obs, GaspariCohn(cutoff=3.5))
    filt = ef.LEnFF(GaspariCohn(cutoff=3.5), steps=STEPS, backend=other_backend)
    for found, part, values in zip(whole, x, y, strict=True):
        assert np.array_equal(found, filt.analysis(part, values, obs))


@pytest.mark.parametrize("shape", [(5000,), (70, 71)])
def test_output(other_backend, dtype, shape):
    """`out` is filled and returned; where it overlaps the forecast, the result is the same."""
    dim = math.prod(shape)
    obs = ef.Observation(Arctan(), std=0.4, grid=RegularGrid(shape))
    x, y = problem(4, dim, obs, dtype)
    filt = ef.LEnFF(GaspariCohn(cutoff=3.5), steps=STEPS, backend=other_backend)
    wanted = filt.analysis(x, y, obs)
    memory = np.zeros((5, dim), dtype)
    for source, out in ((x, np.empty_like(x)), (memory[1:], memory[1:]), (memory[1:], memory[:-1])):
        source[...] = x
        assert filt.analysis(source, y, obs, out=out) is out
        assert np.array_equal(out, wanted)
    with pytest.raises(ValueError, match="out"):
        filt.analysis(x, y, obs, out=np.empty((4, dim + 1), dtype))


# A line of several blocks, one whose blocks end within a vector, grids that are cut among threads
# and one whose tasks, were there one for every thread, would be thinner than the taper.
@pytest.mark.parametrize("shape", [(9000,), (5003,), (90, 61), (12, 300)])
def test_bits_do_not_depend_on_threads(other_backend, monkeypatch, dtype, shape):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    grid = RegularGrid(shape)
    obs = ef.Observation(Arctan() @ Mask(np.arange(grid.size) % 5 > 0), std=0.3, grid=grid)
    x, y = problem(5, grid.size, obs, dtype)
    filt = ef.LEnFF(GaspariCohn(cutoff=3.5), steps=STEPS, backend=other_backend)
    results = []
    for threads in (1, 2, 7):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads):
            results.append(filt.analysis(x, y, obs))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


_LEVELS = backends.get("cpp").core.usable_levels() if "cpp" in backends.available() else []


@pytest.mark.parametrize("level", _LEVELS)
@pytest.mark.parametrize("shape", [(5,), (257,), (3001,), (1, 40), (17, 23)])
def test_every_simd_level_of_cpp(level, dtype, shape):
    core = backends.get("cpp").core
    grid = RegularGrid(shape)
    before = core.level()
    try:
        assert core.use_level(level)
        for function in (Identity(), Arctan() @ Every(3), Tanh()):
            obs = ef.Observation(function, std=0.3, grid=grid)
            x, y = problem(13, grid.size, obs, dtype)
            assert_like_numpy("cpp", x, y, obs, GaspariCohn(cutoff=3.5))
    finally:
        core.use_level(before)
