"""Exact mean and covariance of what a stochastic sampler makes of a Gaussian prior.

With a Gaussian prior and a linear operator, an analysis is an affine function of the forecast
member and of its normals. A run without noise gives the mean and what is left of the forecast's
covariance; a run in which each member has a single normal at 1 gives the columns of the rest.
Nothing is drawn, so no tolerance is needed for drawing.
"""

import numpy as np


def ensemble_with_moments(mean, covariance, members, seed=0):
    """Members (N, D) whose sample mean and covariance (N - 1) are exactly these."""
    z = np.random.default_rng(seed).standard_normal((members, len(mean)))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    return mean + z @ np.linalg.cholesky(covariance).T


def sampled_moments(filt, mean, covariance, y, obs):
    """Mean and covariance of the analysis of infinitely many members, for this number of steps."""
    dim = len(mean)
    draws = (filt.steps + 1) * dim
    x = ensemble_with_moments(np.asarray(mean), np.asarray(covariance), max(draws, 2 * dim + 2))
    noise = np.zeros((filt.steps + 1, *x.shape))
    still = filt.analysis(x, np.asarray(y), obs, noise=noise)
    for draw in range(draws):
        noise[draw // dim, draw, draw % dim] = 1.0
    moved = (filt.analysis(x, np.asarray(y), obs, noise=noise) - still)[:draws]
    return still.mean(axis=0), np.cov(still.T) + moved.T @ moved


def kalman(mean, covariance, y, obs):
    """The Kalman filter's mean and covariance, in plain NumPy."""
    mean, covariance, y = (np.asarray(a, dtype=float) for a in (mean, covariance, y))
    seen = ~np.isnan(y)
    h = obs.operator(np.eye(len(mean))).T[seen]
    r = np.diag(np.broadcast_to(np.asarray(obs.std) ** 2, y.shape)[seen])
    gain = covariance @ h.T @ np.linalg.inv(h @ covariance @ h.T + r)
    return mean + gain @ (y[seen] - h @ mean), covariance - gain @ h @ covariance
