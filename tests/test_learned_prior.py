"""The learned prior: it learns, remembers, is saved, and says what is wrong."""

import importlib

import numpy as np
import pytest

import enfilt as ef
from enfilt.priors import GaussianPrior, LearnedPrior, Noising, Setting

LEVELS = tuple(Noising(1.0, v) for v in (0.03, 0.1, 0.3, 1.0, 3.0))
SMALL = {"updates": 20, "batch": 16, "width": 16, "device": "cpu"}


def correlated(rng, n, dim=4, dtype=np.float64):
    """Neighbours correlated by 0.9."""
    z = rng.standard_normal((n, 1)) * np.sqrt(0.9) + rng.standard_normal((n, dim)) * np.sqrt(0.1)
    return (3 + 2 * z).astype(dtype)


def test_learns_the_denoiser_of_a_gaussian(rng):
    """Most of what the diagonal Gaussian, its start, does not know of the exact posterior mean."""
    x = correlated(rng, 2000)
    setting = Setting(levels=LEVELS)
    learned = LearnedPrior(updates=800, width=32, learning_rate=3e-3, device="cpu")
    fitted = learned.fit(x, rng, setting)
    exact = GaussianPrior().fit(x)
    diagonal = GaussianPrior("diagonal").fit(x)
    for noising in LEVELS:
        points = correlated(rng, 500) + np.sqrt(noising.variance) * rng.standard_normal((500, 4))
        wanted = exact.posterior_mean(points, noising)
        error, start = (
            np.sqrt(np.mean((p.posterior_mean(points, noising) - wanted) ** 2))
            for p in (fitted, diagonal)
        )
        assert error < 0.25 * start + 0.02, (noising.variance, error, start)


def test_image_is_learned(rng):
    """E[x^2 | x + noise] = m^2 + v of a scalar Gaussian; the level without image is exact too."""
    x = rng.standard_normal((2000, 1))
    levels = tuple(Noising(1.0, v) for v in (0.3, 1.0))
    learned = LearnedPrior(updates=800, width=32, learning_rate=3e-3, device="cpu")
    fitted = learned.fit(x, rng, Setting(levels=levels, image=x**2))
    points = np.linspace(-1.5, 1.5, 21)[:, None]
    for noising in levels:
        keep = 1 / (1 + noising.variance)
        image = fitted.estimate(points, noising).image
        wanted = (keep * points) ** 2 + 1 - keep
        assert np.abs(image - wanted).max() < 0.25


def test_untrained_is_the_diagonal_gaussian(rng, dtype):
    """One update of a rate of nothing leaves the last layer at zero."""
    x, points = correlated(rng, 50, dtype=dtype), correlated(rng, 5, dtype=dtype)
    prior = LearnedPrior(**SMALL | {"updates": 1, "learning_rate": 1e-30})
    result = prior.fit(x, rng).posterior_mean(points, LEVELS[2])
    # the moments with N instead of N - 1
    wanted = GaussianPrior("diagonal").fit(x).posterior_mean(points, LEVELS[2])
    assert result.dtype == dtype
    np.testing.assert_allclose(result, wanted, rtol=1e-2, atol=1e-2)


def ask(prior, x, seed=0, index=0, points=None):
    fitted = prior.fit(x, np.random.default_rng(seed), Setting(levels=LEVELS, index=index))
    return fitted.posterior_mean(x[:5] if points is None else points, LEVELS[3])


def test_warm_start_and_reset(rng):
    x = correlated(rng, 50)
    prior = LearnedPrior(**SMALL)
    first = ask(prior, x)
    second = ask(prior, x)  # the same draws, from where the first stopped
    assert np.abs(first - second).max() > 1e-6
    prior.reset()
    np.testing.assert_array_equal(ask(prior, x), first)
    np.testing.assert_array_equal(ask(LearnedPrior(**SMALL), x), first)
    # an ensemble of a batch has its own network
    np.testing.assert_array_equal(ask(prior, x, index=1), first)


def test_saved_and_loaded(rng, tmp_path):
    x = correlated(rng, 50)
    prior = LearnedPrior(**SMALL)
    with pytest.raises(ValueError, match="no network to save"):
        prior.save(tmp_path / "none.pt")
    ask(prior, x)
    prior.save(tmp_path / "prior.pt")
    loaded = LearnedPrior.load(tmp_path / "prior.pt", updates=20, batch=16, device="cpu")
    assert loaded == prior
    again = ask(loaded, x)
    np.testing.assert_array_equal(again, ask(prior, x))
    loaded.reset()  # back to the file
    np.testing.assert_array_equal(ask(loaded, x), again)
    with pytest.raises(ValueError, match=r"trained for states of 4 components.*forecast has 6"):
        loaded.fit(correlated(rng, 50, dim=6), rng)
    filt = ef.MASF(prior=loaded, steps=5)
    obs = ef.Observation(ef.operators.Every(2), std=1.0)
    out = np.full((50, 6), 7.0)
    with pytest.raises(ValueError, match="trained for states of 4 components"):
        filt.analysis(correlated(rng, 50, dim=6), np.zeros(3), obs, rng=0, out=out)
    assert np.all(out == 7.0)


def test_a_file_of_something_else(tmp_path):
    torch = importlib.import_module("torch")
    torch.save({"something": 1}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds no saved prior"):
        LearnedPrior.load(tmp_path / "other.pt")


def test_pretrained_on_a_free_run(rng, capsys):
    model = ef.models.Lorenz96(dim=12)
    prior = LearnedPrior(**SMALL)
    prior.pretrain(model, members=4, cycles=20, spinup=200, updates=50, rng=0, show=False)
    assert capsys.readouterr().err == ""
    x = rng.standard_normal((20, 12))
    start = ask(prior, x)
    assert np.abs(start - ask(LearnedPrior(**SMALL), x)).max() > 1e-3
    prior.reset()
    np.testing.assert_array_equal(ask(prior, x), start)
    with pytest.raises(ValueError, match="trained for states of 12 components"):
        ask(prior, correlated(rng, 20))


@pytest.mark.parametrize(
    ("shape", "periodic", "variables"),
    [
        ((1001,), True, 1),
        ((1000,), False, 1),
        ((33, 31), True, 1),
        ((40, 26), False, 1),
        ((19, 18), True, 3),
    ],
)
def test_u_nets(rng, shape, periodic, variables):
    """Sizes that no division by two goes through; they learn a field that is the same around."""
    grid = ef.grids.RegularGrid(shape, periodic=periodic, variables=variables)
    dim = grid.size
    x = np.repeat(rng.standard_normal((30, 1)), dim, axis=1) + 1
    x += 0.1 * rng.standard_normal(x.shape)
    prior = LearnedPrior(updates=25, batch=4, width=32, learning_rate=1e-2, device="cpu")
    fitted = prior.fit(x, rng, Setting(levels=(Noising(1.0, 1.0),), grid=grid))
    noised = x[:4] + rng.standard_normal((4, dim))
    result = fitted.posterior_mean(noised, Noising(1.0, 1.0))
    diagonal = GaussianPrior("diagonal").fit(x).posterior_mean(noised, Noising(1.0, 1.0))
    assert np.mean((result - x[:4]) ** 2) < 0.7 * np.mean((diagonal - x[:4]) ** 2)
    if len(shape) == 2:
        with pytest.raises(ValueError, match="trained on a grid of shape"):
            prior.fit(x, rng, Setting(grid=ef.grids.RegularGrid((dim,))))


def test_filters_take_it(rng, dtype):
    x = correlated(rng, 40, dtype=dtype)
    obs = ef.Observation(ef.operators.Every(2), std=0.5)
    y = np.array([5.0, 5.0], dtype)
    mixing = ef.Observation(ef.operators.Linear(np.ones((1, 4)) / 4), std=0.5)
    for filt, seen, values in (
        (ef.MASF(prior=LearnedPrior(**SMALL), steps=20), obs, y),
        (ef.MASF(prior=LearnedPrior(**SMALL), steps=20), mixing, y[:1]),
        (ef.MASF("published", LearnedPrior(**SMALL), steps=20), obs, y),
        (ef.ScoreFilter(prior=LearnedPrior(**SMALL), steps=20), obs, y),
        (ef.SSLS(prior=LearnedPrior(**SMALL), steps=20), obs, y),
    ):
        analysis = filt.analysis(x, values, seen, rng=3)
        assert analysis.dtype == dtype
        assert np.isfinite(analysis).all()
        filt.reset()
        np.testing.assert_array_equal(filt.analysis(x, values, seen, rng=3), analysis)
    h = ef.Observation(ef.operators.Tanh() @ ef.operators.Every(2), std=0.1)
    filt = ef.MASF("published", LearnedPrior(**SMALL), steps=20)
    assert np.isfinite(filt.analysis(x / 3, y / 10, h, rng=3)).all()


def test_a_twin_experiment_begins_afresh():
    model = ef.models.Lorenz96(dim=8)
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    twin = ef.TwinExperiment(model, obs, cycles=3, steps_per_cycle=2, spinup=50)
    filt = ef.MASF(prior=LearnedPrior(**SMALL), steps=10)
    one, two = (twin.run(filt, members=10, seed=0) for _ in range(2))
    np.testing.assert_array_equal(one.rmse.analysis, two.rmse.analysis)


def test_without_pytorch(monkeypatch):
    true_import = importlib.import_module

    def absent(name, *args):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return true_import(name, *args)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(ImportError, match=r"pip install 'enfilt\[learned\]'"):
        LearnedPrior()
    with pytest.raises(ImportError, match=r"pip install 'enfilt\[learned\]'"):
        LearnedPrior.load("anything.pt")


def test_pytorch_is_imported_only_where_it_is_needed():
    import subprocess
    import sys

    code = "import sys, enfilt; enfilt.MASF(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"updates": 0}, ValueError, "updates=0"),
        ({"batch": 1.5}, TypeError, "batch=1.5"),
        ({"width": 2}, ValueError, "width=2"),
        ({"learning_rate": 0}, ValueError, "learning_rate=0"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        LearnedPrior(**options)


def test_pretrain_with_bad_arguments():
    with pytest.raises(TypeError, match=r"expected an enfilt\.models\.Model"):
        LearnedPrior().pretrain(lambda x, steps: x)
    with pytest.raises(ValueError, match="cycles=0"):
        LearnedPrior().pretrain(ef.models.Lorenz96(dim=8), cycles=0)
