"""A twin experiment with a model and an observation operator of your own.

A damped, driven pendulum; only the height of its bob is observed. Run it with
``python examples/own_model.py``.
"""

import numpy as np

import enfilt as ef

DT = 0.05


def pendulum(ensemble: np.ndarray, steps: int) -> np.ndarray:
    """Step angle and angular velocity, the two columns, by the symplectic Euler method."""
    angle, velocity = ensemble[:, 0].copy(), ensemble[:, 1].copy()
    for _ in range(steps):
        velocity += DT * (-np.sin(angle) - 0.05 * velocity + 0.3)
        angle += DT * velocity
    return np.stack([angle, velocity], axis=1)


def height(ensemble: np.ndarray) -> np.ndarray:
    """Return what is observed, (N, 1)."""
    return 1 - np.cos(ensemble[:, :1])


def height_vjp(ensemble: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the derivative of `height`, transposed and applied to u, (N, 2)."""
    return np.concatenate([np.sin(ensemble[:, :1]) * u, np.zeros_like(u)], axis=1)


obs = ef.Observation(ef.operators.Custom(height, height_vjp), std=0.05)
twin = ef.TwinExperiment(
    pendulum,
    obs,
    cycles=60,
    steps_per_cycle=4,
    spinup=100,
    initial_state=[1.0, 0.0],
    initial_mean="truth",
    initial_std=0.3,
)
for guidance in ("none", "local", "monte-carlo"):
    filt = ef.EnFF(guidance=guidance, steps=10, sigma_min=0.05, strength=0.02)
    means = twin.run(filt, members=50, seed=1).summary(last=40)
    print(f"guidance={guidance:<12} RMSE {means['rmse.analysis']:.3f}")
