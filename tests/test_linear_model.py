"""Linear dynamics: against matrix products, and filters against the exact Kalman filter."""

import numpy as np
import pytest

import enfilt as ef
from enfilt import presets
from enfilt.models import Linear


def test_steps_are_products(rng, dtype):
    matrix = rng.standard_normal((5, 5)) / 2
    x = rng.standard_normal((4, 5)).astype(dtype)
    found = Linear(matrix).step(x, 3)
    assert found.dtype == dtype
    wanted = x @ np.linalg.matrix_power(matrix, 3).T
    np.testing.assert_allclose(found, wanted, rtol=0, atol=50 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(Linear(matrix).step(x, 0), x)


def test_members_do_not_depend_on_each_other(rng, dtype):
    model = Linear(rng.standard_normal((30, 30)) / 8)
    x = rng.standard_normal((7, 30)).astype(dtype)
    alone = np.stack([model.step(row, 4) for row in x])
    np.testing.assert_array_equal(model.step(x, 4), alone)
    assert model.step(x, 4, out=x) is x
    np.testing.assert_array_equal(x, alone)


@pytest.mark.parametrize(("angle", "radius"), [(0.3, 1.0), (-2.0, 0.9), (7.0, 0.0)])
def test_rotation(angle, radius):
    model = Linear.rotation2d(angle, radius)
    x = np.array([[1.0, 2.0], [-3.0, 0.5]])
    z = (x[:, 0] + 1j * x[:, 1]) * radius**5 * np.exp(5j * angle)
    found = model.step(x, 5)
    np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], z, rtol=0, atol=1e-14)
    assert (model.dim, model.shape, model.grid.shape) == (2, (2,), (2,))


def test_a_full_turn_comes_back():
    x = np.array([0.3, -1.7])
    np.testing.assert_allclose(Linear.rotation2d(np.pi / 12).step(x, 24), x, rtol=0, atol=1e-14)


def test_model_noise_is_q(rng):
    """The stationary covariance of x <- a x + e is q / (1 - a^2)."""
    model = Linear([[0.8]], dt=0.25, model_noise=0.6)
    x = model.step(np.zeros((50_000, 1)), 60, rng=1)
    wanted = 0.6 * np.sqrt(0.25 / (1 - 0.8**2))
    assert abs(x.std() / wanted - 1) < 5 / np.sqrt(2 * 50_000)  # five standard errors


def test_the_matrix_is_kept_as_it_was():
    matrix = np.eye(2)
    model = Linear(matrix)
    matrix[0, 0] = 7
    np.testing.assert_array_equal(model.matrix, np.eye(2))
    assert model.initial_state(3).shape == (2,)
    np.testing.assert_array_equal(model.initial_state(3), model.initial_state(3))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"matrix": np.zeros((2, 3))}, ValueError, r"matrix has shape \(2, 3\)"),
        ({"matrix": np.zeros(4)}, ValueError, r"matrix has shape \(4,\)"),
        ({"matrix": np.zeros((0, 0))}, ValueError, r"matrix has shape \(0, 0\)"),
        ({"matrix": "F"}, TypeError, "matrix can't be read"),
        ({"matrix": [[np.nan]]}, ValueError, r"matrix\[0, 0\] is nan"),
        ({"matrix": [[1.0]], "dt": 0}, ValueError, "dt=0"),
        ({"matrix": [[1.0]], "model_noise": -1}, ValueError, "model_noise=-1"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        Linear(**options)


@pytest.mark.parametrize(
    ("options", "message"), [({"angle": np.inf}, "angle=inf"), ({"radius": -1}, "radius=-1")]
)
def test_bad_rotation(options, message):
    with pytest.raises(ValueError, match=message):
        Linear.rotation2d(**{"angle": 0.1} | options)


# -- rotation2d


def exact(preset, ys):
    """Mean and covariance of every analysis."""
    model, kf = preset.twin.model, ef.KalmanFilter()
    q = model.model_noise**2 * model.dt * np.eye(2)
    mean, covariance = np.zeros(2), np.eye(2)
    found = []
    for cycle, y in enumerate(ys):
        if cycle:
            mean, covariance = kf.forecast_moments(mean, covariance, model.matrix, error=q)
        mean, covariance = kf.analysis_moments(mean, covariance, y, preset.twin.obs)
        found.append((mean, covariance))
    return found


def distances(preset, members, seed, cycles=8):
    """How far the flow filter's moments are from the exact ones, in means over cycles."""
    model, obs = preset.twin.model, preset.twin.obs
    rng = np.random.default_rng(seed)
    truth, ys = rng.standard_normal(2), []
    for cycle in range(cycles):
        truth = model.step(truth, 1, rng=rng) if cycle else truth
        ys.append(obs.simulate(truth, rng))
    x = rng.standard_normal((members, 2))
    gaps = []
    for cycle, (y, (mean, covariance)) in enumerate(zip(ys, exact(preset, ys), strict=True)):
        x = model.step(x, 1, rng=rng) if cycle else x
        x = preset.filter.analysis(x, y, obs, rng=rng)
        gaps.append(
            (
                np.linalg.norm(x.mean(axis=0) - mean),
                np.linalg.norm(np.cov(x.T) - covariance) / np.linalg.norm(covariance),
            )
        )
    return np.mean(gaps, axis=0)


def test_the_flow_filter_comes_to_the_kalman_filter_as_members_grow():
    preset = presets.get("rotation2d")
    few, more, many = (
        np.mean([distances(preset, n, seed) for seed in range(2)], axis=0) for n in (10, 40, 160)
    )
    # like 1 / sqrt(N): a factor of 4 from end to end, less chance
    assert (few / many > 2.3).all()
    assert (few > more).all()
    assert (more > many).all()


def test_rotation2d_runs_beside_its_rivals():
    preset = presets.get("rotation2d").replace({"members": 50})
    results = {
        name: preset.twin.run(filt, members=preset.members, seed=1).rmse.analysis[20:].mean()
        for name, filt in preset.filters(["enff", "etkf"]).items()
    }
    assert results["enff"] == pytest.approx(results["etkf"], rel=0.15)
