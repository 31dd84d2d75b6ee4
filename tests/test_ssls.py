"""SSLS: the Kalman posterior to the order of the step, annealing, and the limit of a score."""

import dataclasses

import numpy as np
import pytest
from linear_response import kalman, sampled_moments

import enfilt as ef
from enfilt.priors import EnsemblePrior, GaussianPrior

MEAN, COVARIANCE, Y = [0.5, -1.0], [[1.0, 0.7], [0.7, 2.0]], [1.7]
OBS = ef.Observation(ef.operators.Subset([0]), std=0.5)
PLAIN = ef.SSLS(
    prior=GaussianPrior(), sigma=1e-4, anneal_init=0.0, anneal_steps=1, score_limit=None
)


def test_gaussian_forecast_gives_the_kalman_posterior_to_the_order_of_the_step():
    """Unadjusted Langevin: with precision L the covariance is (L - d L^2 / 2)^-1, L^-1 + d/2.

    The time steps * d = 16 is some nine relaxation times of the slowest direction, and noise of
    1e-4 of the spread changes the score by 1e-8.
    """
    exact_mean, exact = kalman(MEAN, COVARIANCE, Y, OBS)
    errors = []
    for d in (0.08, 0.04, 0.02):
        filt = dataclasses.replace(PLAIN, steps=round(16 / d), step_size=d)
        mean, covariance = sampled_moments(filt, MEAN, COVARIANCE, Y, OBS)
        np.testing.assert_allclose(mean, exact_mean, atol=2e-3)
        errors.append(np.abs(covariance - exact).max())
        precision = np.linalg.inv(exact)
        limit = np.linalg.inv(precision - d / 2 * precision @ precision)
        np.testing.assert_allclose(covariance, limit, atol=2e-3)
    assert errors[0] < 0.1
    # halving d halves the error
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.35)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.35)


def naive(forecast, y, std, noise, *, d, sigma, init, decay, rounds, limit):
    """The recursion for the empirical mixture, a member at a time."""
    steps = len(noise) - 1
    width = sigma * forecast.std(axis=0, ddof=1)
    result = []
    for i, x in enumerate(forecast):
        for k in range(steps):
            lam = init * decay ** (k // (steps // rounds))
            log_w = -0.5 * np.sum(((x - forecast) / width) ** 2, axis=1)
            w = np.exp(log_w - log_w.max())
            s = -(x - w @ forecast / w.sum()) / width**2 + (y - x) / std**2
            s *= min(1.0, limit / np.sqrt(np.mean(s**2)))
            x = np.exp(-lam * d) * x + (1 - np.exp(-lam * d)) / lam * s
            x = x + np.sqrt((1 - np.exp(-2 * lam * d)) / lam) * noise[k + 1, i]
        result.append(x)
    return np.array(result)


def test_annealing_and_limit_against_the_recursion(rng, backend):
    forecast = rng.standard_normal((6, 3))
    noise = rng.standard_normal((13, 6, 3))
    y = rng.standard_normal(3)
    obs = ef.Observation(ef.operators.Identity(), std=0.3)
    filt = ef.SSLS(
        steps=12,
        step_size=0.01,
        sigma=0.2,
        anneal_init=2.0,
        anneal_decay=0.25,
        anneal_steps=3,
        score_limit=8.0,
        backend=backend,
    )
    expected = naive(
        forecast, y, 0.3, noise, d=0.01, sigma=0.2, init=2.0, decay=0.25, rounds=3, limit=8.0
    )
    result = filt.analysis(forecast, y, obs, noise=noise)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)
    without = dataclasses.replace(filt, score_limit=None)
    assert np.abs(without.analysis(forecast, y, obs, noise=noise) - expected).max() > 0.01


def test_float32(rng):
    forecast, noise = rng.standard_normal((12, 5)), rng.standard_normal((31, 12, 5))
    obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    y = np.zeros(5)
    for prior in (EnsemblePrior(), EnsemblePrior(0.3), GaussianPrior()):
        filt = ef.SSLS(prior=prior, steps=30)
        expected = filt.analysis(forecast, y, obs, noise=noise)
        single = (a.astype(np.float32) for a in (forecast, y, noise))
        x, z, n = single
        result = filt.analysis(x, z, obs, noise=n)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": 0}, "step_size=0"),
        ({"sigma": -1}, "sigma=-1"),
        ({"anneal_decay": 1.5}, "anneal_decay=1.5"),
        ({"steps": 3, "anneal_steps": 4}, "anneal_steps=4: expected at most steps=3"),
        ({"score_limit": 0}, "score_limit=0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ef.SSLS(**options)


def test_bad_input(rng):
    forecast = rng.standard_normal((4, 3))
    blind = ef.Observation(ef.operators.Custom(lambda x: x**2), std=1.0)
    with pytest.raises(TypeError, match="SSLS needs the gradient"):
        ef.SSLS().analysis(forecast, np.zeros(3), blind)
    with pytest.raises(ValueError, match=r"1 member\(s\)"):
        ef.SSLS().analysis(forecast[:1], np.zeros(3), OBS)
