"""The score filter: the recursion of its paper, and the forecast where nothing guides it."""

import dataclasses

import numpy as np
import pytest
from linear_response import sampled_moments

import enfilt as ef
from enfilt.priors import EnsemblePrior, GaussianPrior


def unguided(t):
    return 0.0


def naive(forecast, y, std, noise, limit, weight):
    """Reverse variance exploding diffusion of the empirical mixture, a member at a time."""
    steps = len(noise) - 1
    t = (1 - np.arange(steps + 1) / steps) ** 2
    variance = (25.0 ** (2 * t) - 1) / (2 * np.log(25.0))
    result = []
    for i, start in enumerate(forecast):
        x = start + np.sqrt(variance[0]) * noise[0, i]
        for k in range(steps):
            log_w = -0.5 * np.sum((x - forecast) ** 2, axis=1) / variance[k]
            w = np.exp(log_w - log_w.max())
            s = -(x - w @ forecast / w.sum()) / variance[k] + weight(t[k]) * (y - x) / std**2
            s *= min(1.0, limit / np.sqrt(np.mean(s**2)))
            x = x + (t[k] - t[k + 1]) * 625.0 ** t[k] * s
            if k < steps - 1:
                x = x + np.sqrt(t[k] - t[k + 1]) * 25.0 ** t[k] * noise[k + 1, i]
        result.append(x)
    return np.array(result)


@pytest.mark.parametrize(
    ("damping", "weight"),
    [("half", lambda t: max(0, 1 - 2 * t)), ("linear", lambda t: 1 - t), (np.sqrt, np.sqrt)],
    ids=["half", "linear", "callable"],
)
def test_against_the_recursion(rng, backend, damping, weight):
    forecast = rng.standard_normal((5, 3))
    noise = rng.standard_normal((31, 5, 3))
    y = rng.standard_normal(3)
    obs = ef.Observation(ef.operators.Identity(), std=0.4)
    filt = ef.ScoreFilter(steps=30, damping=damping, score_limit=5.0, backend=backend)
    result = filt.analysis(forecast, y, obs, noise=noise)
    expected = naive(forecast, y, 0.4, noise, 5.0, weight)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


def test_unguided_gives_the_forecast_back():
    """Mean and covariance of a Gaussian forecast, to the order of the step."""
    mean, covariance = [0.5, -1.0], [[1.0, 0.7], [0.7, 2.0]]
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    errors = []
    for steps in (250, 500):
        filt = ef.ScoreFilter(
            prior=GaussianPrior(), steps=steps, damping=unguided, score_limit=None
        )
        m, p = sampled_moments(filt, mean, covariance, [5.0, 5.0], obs)
        np.testing.assert_allclose(m, mean, atol=1e-3)
        errors.append(np.abs(p - covariance).max())
    assert errors[1] < 0.05
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.5)


def test_unguided_empirical_forecast_ends_at_members(rng):
    forecast = 3 * rng.standard_normal((10, 4))
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    filt = ef.ScoreFilter(damping=unguided, score_limit=None)
    analysis = filt.analysis(forecast, np.zeros(4), obs, rng=1)
    apart = np.linalg.norm(analysis[:, None] - forecast[None], axis=2).min(axis=1)
    assert apart.max() < 1e-6


def test_guidance_draws_to_the_observations(rng):
    truth = np.array([0.5, -0.8, 1.2])
    forecast = truth + rng.standard_normal((100, 3))
    obs = ef.Observation(ef.operators.Arctan(), std=0.2)
    for prior in (EnsemblePrior(0.3), GaussianPrior()):
        analysis = ef.ScoreFilter(prior=prior).analysis(forecast, np.arctan(truth), obs, rng=1)
        assert np.std(analysis - truth) < 0.5 * np.std(forecast - truth)


def test_float32(rng):
    forecast, noise = rng.standard_normal((12, 5)), rng.standard_normal((31, 12, 5))
    obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    for prior in (EnsemblePrior(0.3), GaussianPrior()):
        filt = ef.ScoreFilter(prior=prior, steps=30)
        expected = filt.analysis(forecast, np.zeros(5), obs, noise=noise)
        x, n = forecast.astype(np.float32), noise.astype(np.float32)
        result = filt.analysis(x, np.zeros(5, np.float32), obs, noise=n)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sigma": 1}, ValueError, "sigma=1"),
        ({"damping": "hlaf"}, ValueError, "did you mean 'half'"),
        ({"score_limit": -1.0}, ValueError, "score_limit=-1.0"),
        ({"prior": EnsemblePrior}, TypeError, "expected a prior"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        ef.ScoreFilter(**options)


def test_bad_input(rng):
    forecast = rng.standard_normal((4, 3))
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    negative = dataclasses.replace(ef.ScoreFilter(steps=5), damping=lambda t: -1.0)
    with pytest.raises(ValueError, match=r"damping\(1.0\)=-1.0"):
        negative.analysis(forecast, np.zeros(3), obs)
    with pytest.raises(ValueError, match=r"1 member\(s\)"):
        ef.ScoreFilter().analysis(forecast[:1], np.zeros(3), obs)
    blind = ef.Observation(ef.operators.Custom(lambda x: x**2), std=1.0)
    with pytest.raises(TypeError, match="ScoreFilter needs the gradient"):
        ef.ScoreFilter().analysis(forecast, np.zeros(3), blind)
