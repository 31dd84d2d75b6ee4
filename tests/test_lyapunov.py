"""Leading Lyapunov exponents, and precision: what rounding does to a free run."""

import numpy as np
import pytest

from enfilt.models import KuramotoSivashinsky, Lorenz63, Lorenz96


def growth(model, x, steps, rounds, size, seed=0):
    """Rates at which perturbations of `size` grow, (rounds, members), renormalized every round.

    Benettin, Galgani, Giorgilli, Strelcyn (1980), "Lyapunov characteristic exponents".
    """
    push = np.random.default_rng(seed).standard_normal(x.shape)
    push *= size / np.linalg.norm(push, axis=1, keepdims=True)
    rates = []
    for _ in range(rounds):
        moved, x = model.step(x + push, steps), model.step(x, steps)
        push = moved - x
        grown = np.linalg.norm(push, axis=1, keepdims=True)
        push *= size / grown
        rates.append(np.log(grown[:, 0] / size) / (steps * model.dt))
    return np.array(rates)


@pytest.mark.parametrize(
    ("model", "spinup", "steps", "rounds", "members", "wanted", "tolerance"),
    [
        # Sprott (2003), "Chaos and time-series analysis": 0.9056
        (Lorenz63(dt=0.01), 500, 50, 80, 400, 0.906, 0.02),
        # Lorenz, Emanuel (1998): errors double in 2.1 days of 0.2 time units
        (Lorenz96(dim=40, forcing=8.0, dt=0.02), 500, 25, 100, 60, 1.68, 0.05),
    ],
    ids=["lorenz63", "lorenz96"],
)
def test_leading_exponent(model, spinup, steps, rounds, members, wanted, tolerance):
    x = np.stack([model.initial_state(seed) for seed in range(members)])
    rates = growth(model, model.step(x, spinup), steps, rounds, 1e-7)
    # the first fifth of the rounds turns the perturbation into the direction that grows fastest
    assert rates[rounds // 5 :].mean() == pytest.approx(wanted, rel=tolerance)


@pytest.mark.parametrize(
    ("model", "spinup", "steps", "samples"),
    [
        (Lorenz96(dim=40, dt=0.02), 1000, 10, 45),
        (KuramotoSivashinsky(dim=128, domain=32.0), 1200, 20, 40),
    ],
    ids=["lorenz96", "kuramoto-sivashinsky"],
)
def test_precisions_part_at_the_lyapunov_rate(model, spinup, steps, samples):
    """float32 beside float64: as far apart as float64 runs that differ by a few roundings."""
    members = 24
    begin = np.stack([model.initial_state(seed) for seed in range(members)])
    begin = model.step(begin, spinup).astype(np.float32)
    rng = np.random.default_rng(1)
    # every step rounds some tens of times, and the first ones grow longest
    nudge = 10 * np.finfo(np.float32).eps * np.abs(begin).max() * rng.standard_normal(begin.shape)
    single, double = begin, begin.astype(np.float64)
    nudged = double + nudge
    courses = []
    for _ in range(samples):
        single, double = model.step(single, steps), model.step(double, steps)
        nudged = model.step(nudged, steps)
        apart = [np.linalg.norm(a - double, axis=1) for a in (single, nudged)]
        courses.append(np.log(apart).mean(axis=1))
    rounding, pushed = np.array(courses).T
    linear = pushed < np.log(0.05 * np.linalg.norm(double, axis=1).mean())
    assert linear.sum() > samples // 2
    assert (rounding[linear] < pushed[linear] + np.log(10)).all()
    time = model.dt * steps * np.arange(samples)[linear]
    last = slice(linear.sum() // 3, None)  # by then the direction that grows fastest has taken over
    rates = [np.polyfit(time[last], c[linear][last], 1)[0] for c in (rounding, pushed)]
    assert rates[0] == pytest.approx(rates[1], rel=0.2)
