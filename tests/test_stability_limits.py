"""The largest dt of the Runge-Kutta models: within it runs stay finite, well beyond they don't."""

import warnings

import numpy as np
import pytest

from enfilt.models import Lorenz63, Lorenz96

MODELS = {
    "lorenz63": (Lorenz63, 0.1219, 0.15, "0.122"),
    "lorenz96": (Lorenz96, 0.147, 0.2, "0.147"),
    "lorenz96-16": (lambda dt: Lorenz96(forcing=16.0, dt=dt), 0.0757, 0.12, "0.0758"),
}


def run(model, small):
    """Long runs from about the attractor, as an ensemble starts there."""
    rng = np.random.default_rng(1)
    x = small.step(small.initial_state(0), 4000) + rng.standard_normal((20, small.dim))
    return model.step(x, 3000)


@pytest.mark.parametrize("name", MODELS)
def test_within_the_limit_runs_stay_finite(name):
    make, within, *_ = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(dt=within)
        assert np.isfinite(run(model, make(dt=0.005))).all()


@pytest.mark.parametrize("name", MODELS)
def test_beyond_the_limit_a_warning_says_it(name):
    make, _, beyond, limit = MODELS[name]
    with pytest.warns(RuntimeWarning, match=rf"dt={beyond} .* limit of {limit}") as caught:
        model = make(dt=beyond)
    assert caught[0].filename == __file__
    with pytest.raises(
        FloatingPointError, match=rf"after steps of dt={beyond}: expected a shorter dt"
    ):
        run(model, make(dt=0.005))
