"""Priors: posterior means against their definition, scores against the density, gradients."""

import numpy as np
import pytest

import enfilt as ef
from enfilt.priors import EnsemblePrior, GaussianPrior, LearnedPrior, Noising, Setting

GRID = ef.grids.RegularGrid((4,))
SCALE, VARIANCE = np.array([1.0, 0.8, 0.5, 0.9]), np.array([0.3, 0.5, 0.2, 0.4])
LEVELS = [Noising(0.8, 0.3), Noising(SCALE, 0.3), Noising(0.8, VARIANCE), Noising(SCALE, VARIANCE)]
IDS = ["numbers", "scales", "variances", "both"]


def members(rng, n=7, dim=4):
    return rng.standard_normal((n, dim)) @ (np.eye(dim) + 0.3) + 1


def mixture_log_density(x, forecast, bandwidth, noising):
    """log of the noised mixture at one point, up to a constant."""
    variance = noising.variance + noising.scale**2 * bandwidth**2 * forecast.var(axis=0, ddof=1)
    logs = -0.5 * np.sum((x - noising.scale * forecast) ** 2 / variance, axis=1)
    return logs.max() + np.log(np.sum(np.exp(logs - logs.max())))


def gaussian_log_density(x, mean, covariance, noising):
    a = np.broadcast_to(noising.scale, mean.shape)
    total = a[:, None] * covariance * a + np.diag(np.broadcast_to(noising.variance, mean.shape))
    return -0.5 * (x - a * mean) @ np.linalg.solve(total, x - a * mean)


def gradient(function, x, step=1e-5):
    result = np.empty_like(x)
    for d in range(x.size):
        e = np.zeros_like(x)
        e[d] = step
        result[d] = (function(x + e) - function(x - e)) / (2 * step)
    return result


@pytest.mark.parametrize("noising", LEVELS, ids=IDS)
@pytest.mark.parametrize("bandwidth", [0.0, 0.5])
def test_ensemble_score_is_the_gradient_of_its_density(rng, backend, bandwidth, noising):
    forecast, x = members(rng), members(rng, 5)
    setting = Setting(backend=ef.backends.get(backend))
    fitted = EnsemblePrior(bandwidth).fit(forecast, None, setting)
    expected = [
        gradient(lambda p: mixture_log_density(p, forecast, bandwidth, noising), row) for row in x
    ]
    np.testing.assert_allclose(fitted.score(x, noising), expected, rtol=1e-6, atol=1e-7)


def covariances(forecast):
    p = np.cov(forecast.T)
    taper = ef.localization.GaspariCohn(2.0)
    places = GRID.coordinates()
    return {
        None: p,
        "diagonal": np.diag(np.diag(p)),
        taper: taper.weight(GRID.distances(places, places)) * p,
    }


@pytest.mark.parametrize("noising", LEVELS, ids=IDS)
@pytest.mark.parametrize("n", [3, 12], ids=["N < D", "N > D"])
def test_gaussian_score_is_the_gradient_of_its_density(rng, n, noising):
    forecast, x = members(rng, n), members(rng, 5)
    for localization, covariance in covariances(forecast).items():
        fitted = GaussianPrior(localization).fit(forecast, None, Setting(grid=GRID))
        expected = [
            gradient(
                lambda p, c=covariance: gaussian_log_density(p, forecast.mean(axis=0), c, noising),
                row,
            )
            for row in x
        ]
        np.testing.assert_allclose(fitted.score(x, noising), expected, rtol=1e-6, atol=1e-7)


def test_kernel_and_general_form_agree(rng, backend, dtype):
    """Numbers for scale and variance run in the pairwise kernel, vectors do not."""
    forecast, x = members(rng).astype(dtype), members(rng, 5).astype(dtype)
    image = np.arctan(forecast)
    setting = Setting(backend=ef.backends.get(backend), image=image)
    fitted = EnsemblePrior().fit(forecast, None, setting)
    kernel = fitted.estimate(x, Noising(0.8, 0.3, 0.2))
    general = fitted.estimate(x, Noising(np.full(4, 0.8), np.full(4, 0.3), 0.2))
    tolerance = 100 * np.finfo(dtype).eps
    for one, other in zip(kernel, general, strict=True):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


PRIORS = [
    EnsemblePrior(),
    EnsemblePrior(0.5),
    GaussianPrior(),
    GaussianPrior("diagonal"),
    GaussianPrior(ef.localization.GaspariCohn(2.0)),
    LearnedPrior(updates=30, width=16),
]


@pytest.mark.parametrize("with_image", [False, True], ids=["state", "image"])
@pytest.mark.parametrize("n", [3, 12], ids=["N < D", "N > D"])
@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_pullback_is_the_gradient_of_the_estimate(rng, prior, n, with_image):
    """Float32 networks: steps of 1e-2 leave a curvature of 1e-4 and a rounding of 1e-5."""
    learned = isinstance(prior, LearnedPrior)
    forecast, x = members(rng, n), members(rng, 5)
    image = np.arctan(forecast) if with_image else None
    fitted = prior.fit(forecast, rng, Setting(grid=GRID, image=image))
    u, v = rng.standard_normal((2, 5, 4))
    noising = Noising(SCALE if not with_image else 0.7, VARIANCE, 0.3 if with_image else 0.0)

    def weighted(p, i):
        estimate = fitted.estimate(p[None], noising)
        total = np.sum(u[i] * estimate.state)
        return total + (np.sum(v[i] * estimate.image) if with_image else 0.0)

    step = 1e-2 if learned else 1e-5
    expected = [gradient(lambda p, i=i: weighted(p, i), row, step) for i, row in enumerate(x)]
    tolerance = 1e-2 if learned else 1e-6
    result = fitted.pullback(x, noising, u, v)
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [3, 12], ids=["N < D", "N > D"])
def test_gaussian_image_is_statistical_linearization(rng, n):
    """The best linear estimate from the ensemble's moments of (x_0, g, x)."""
    forecast, x = members(rng, n), members(rng, 5)
    image = np.arctan(forecast)
    fitted = GaussianPrior().fit(forecast, None, Setting(image=image))
    estimate = fitted.estimate(x, Noising(0.7, VARIANCE, 0.3))
    noised = 0.7 * forecast + 0.3 * image
    moments = np.cov(np.hstack([forecast, image, noised]).T)
    gain = moments[:8, 8:] @ np.linalg.inv(moments[8:, 8:] + np.diag(VARIANCE))
    change = (x - noised.mean(axis=0)) @ gain.T
    np.testing.assert_allclose(estimate.state, forecast.mean(axis=0) + change[:, :4], rtol=1e-9)
    np.testing.assert_allclose(estimate.image, image.mean(axis=0) + change[:, 4:], rtol=1e-9)


@pytest.mark.parametrize("n", [3, 12], ids=["N < D", "N > D"])
def test_rotated_coordinates(rng, n):
    """With a scale and variance for all, any orthogonal coordinates give the same estimate."""
    forecast, x = members(rng, n), members(rng, 5)
    basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    taper = ef.localization.GaspariCohn(2.0)
    for prior in (EnsemblePrior(), GaussianPrior(), GaussianPrior(taper)):
        plain = prior.fit(forecast, None, Setting(grid=GRID)).posterior_mean(x, LEVELS[0])
        turned = prior.fit(forecast, None, Setting(grid=GRID, basis=basis))
        result = turned.posterior_mean(x @ basis, LEVELS[0]) @ basis.T
        np.testing.assert_allclose(result, plain, rtol=1e-9)


def test_permuted_members_and_a_shift_change_nothing(rng):
    forecast, x = members(rng), members(rng, 5)
    for prior in PRIORS[:4]:
        still = prior.fit(forecast).posterior_mean(x, Noising(1.0, VARIANCE))
        permuted = prior.fit(forecast[::-1].copy()).posterior_mean(x, Noising(1.0, VARIANCE))
        shifted = prior.fit(forecast + 5).posterior_mean(x + 5, Noising(1.0, VARIANCE)) - 5
        np.testing.assert_allclose(permuted, still, rtol=1e-9)
        np.testing.assert_allclose(shifted, still, rtol=1e-9)


def test_points_far_from_all_members(rng):
    forecast = members(rng)
    x = np.full((1, 4), 1e4)
    result = EnsemblePrior().fit(forecast).posterior_mean(x, Noising(1.0, 1e-4))
    nearest = np.argmin(np.linalg.norm(x - forecast, axis=1))
    np.testing.assert_allclose(result[0], forecast[nearest], rtol=1e-12)


def test_bad_options(rng):
    with pytest.raises(ValueError, match="bandwidth=-1"):
        EnsemblePrior(-1)
    with pytest.raises(TypeError, match=r"localization=3\.0"):
        GaussianPrior(3.0)
    with pytest.raises(ValueError, match="grid is missing"):
        GaussianPrior(ef.localization.GaspariCohn(2.0)).fit(members(rng))


def test_out_is_not_touched_where_a_prior_fails_for_a_later_ensemble(rng):
    class Fails(EnsemblePrior):
        def fit(self, forecast, rng=None, setting=None):
            if setting.index == 1:
                raise OSError("no such file")
            return super().fit(forecast, rng, setting)

    forecast = np.stack([members(rng), members(rng)])
    out = np.full_like(forecast, 7.0)
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    with pytest.raises(OSError, match="no such file"):
        ef.SSLS(prior=Fails(), steps=2, anneal_steps=1).analysis(
            forecast, forecast[0, 0], obs, out=out
        )
    assert (out == 7).all()
