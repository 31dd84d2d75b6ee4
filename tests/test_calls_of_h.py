"""The user's h is called with a whole ensemble, as it is, and only as often as the method needs."""

import numpy as np
import pytest

import enfilt as ef
from enfilt.localization import GaspariCohn
from enfilt.operators import Custom, Subset

N, DIM, STEPS = 6, 8, 3
TAPER = GaspariCohn(3.0)


class Counted:
    """h(x) of neighbours; counts its calls, and wants to be given what an analysis was."""

    def __init__(self, dtype, members=N):
        self.dtype, self.shape, self.calls = np.dtype(dtype), (members, DIM), 0

    def __call__(self, x):
        assert (type(x), x.dtype, x.shape) == (np.ndarray, self.dtype, self.shape)
        assert not (x == 0).all()
        self.calls += 1
        return np.sin(x[:, 1:] + x[:, :-1])


def pull(x, u):
    slope = np.cos(x[:, 1:] + x[:, :-1]) * u
    gradient = np.zeros_like(x)
    gradient[:, 1:] += slope
    gradient[:, :-1] += slope
    return gradient


def square(x):
    return x**2


def late(t):
    """No strength, or damping, in the first of three steps (of a flow; the last of a diffusion)."""
    return float(t > 0.1)


# Filter, and how often h has to be evaluated: in each step that looks at the observations (Heun's
# method: twice), or once where all follows from h of the forecast.
CALLS = {
    "flow, local": (ef.EnFF(steps=STEPS), STEPS),
    "flow, local, Heun": (ef.EnFF(path="ot", steps=STEPS, sampler="heun"), 2 * STEPS),
    "flow, local, no strength at first": (ef.EnFF(steps=STEPS, strength=late), STEPS - 1),
    "flow, none": (ef.EnFF(steps=STEPS, guidance="none"), 0),
    "flow, Monte Carlo": (ef.EnFF(steps=STEPS, guidance="monte-carlo"), 1),
    # the gain is the forecast's; each step's innovation is of another mean
    "flow, covariance": (ef.EnFF(path="ot", steps=STEPS, guidance="covariance"), 1 + STEPS),
    "localized flow": (ef.LEnFF(TAPER, steps=STEPS), STEPS),
    # the likelihood is damped to nothing where the sampler starts
    "score": (ef.EnSF(steps=STEPS), STEPS - 1),
    "score, undamped": (ef.EnSF(steps=STEPS, damping=np.exp), STEPS),
    "score filter": (ef.ScoreFilter(steps=STEPS, damping="linear"), STEPS - 1),
    "Langevin": (ef.SSLS(steps=5), 5),
    "particles": (ef.BootstrapPF(), 1),
    # once more, of the forecast before it is widened
    "particles, adaptive": (ef.BootstrapPF(inflation=ef.inflation.Adaptive()), 2),
    "EnKF": (ef.EnKF(), 1),
    "EnKF, localized": (ef.EnKF(localization=TAPER), 1),
    "ETKF": (ef.ETKF(), 1),
    "LETKF": (ef.LETKF(TAPER), 1),
    "LETKF, no localization": (ef.LETKF(GaspariCohn(np.inf)), 1),
    # the given forecast is the first of its runs
    "IEnKF": (ef.IEnKF(ef.models.Lorenz96(dim=DIM), 1, iterations=4, wtol=1e-300), 4),
}


def observation(h, size=DIM - 1):
    """Observations between the components of a ring."""
    where = np.arange(size) + 0.5
    return ef.Observation(Custom(h, pull), 0.5, grid=ef.grids.RegularGrid((DIM,)), locations=where)


@pytest.mark.parametrize("name", CALLS)
def test_h_is_called_as_often_as_the_method_needs(name, dtype):
    filt, wanted = CALLS[name]
    x = np.random.default_rng(0).standard_normal((2, N, DIM)).astype(dtype)
    y = np.array([0.1, np.nan, 0.2, 0, 0, np.nan, 0.3], dtype)
    for forecast, times in ((x[0], 1), (x, 2)):  # each ensemble of a batch is one
        h = Counted(dtype)
        previous = (forecast - 0.1).astype(dtype)
        filt.analysis(forecast, y, observation(h), previous=previous, rng=0)
        assert h.calls == wanted * times
        filt.analysis(forecast, np.full_like(y, np.nan), observation(h), previous=previous)
        assert h.calls == wanted * times  # with nothing observed, not at all


def test_h_before_another_operator_is_called_as_often():
    x, h = np.random.default_rng(0).standard_normal((N, DIM)), Counted(float)
    obs = ef.Observation(ef.operators.Tanh() @ Custom(h, pull), 0.5)
    ef.EnSF(steps=STEPS).analysis(x, np.zeros(DIM - 1), obs, rng=0)
    assert h.calls == STEPS - 1


def test_h_of_the_filters_that_take_others():
    x, y = np.random.default_rng(0).standard_normal((N, DIM)), np.full(DIM, 0.5)
    calls = []

    def h(x):
        calls.append(x.shape)
        return square(x)

    obs = ef.Observation(Custom(h, lambda x, u: 2 * x * u), 0.5)
    ef.MASF(mode="published", steps=STEPS).analysis(x, y, obs, rng=0)
    assert calls == [(N, DIM)]
    filt = ef.LEnFF(TAPER, steps="auto")
    calls.clear()
    placed = ef.Observation(Custom(h), 0.5, grid=np.arange(DIM), locations=np.arange(DIM))
    filt.analysis(x, y, placed)
    # 2, 4, ... up to those that it was content with
    assert len(calls) == 2 * filt.facts["steps"] - 2


def test_h_of_a_twin_experiment():
    """Beside the truth's observations and the analyses no one asks for it."""
    calls = []

    def h(x):
        calls.append(x.shape)
        return square(x)

    twin = ef.TwinExperiment(
        ef.models.Lorenz96(dim=DIM), ef.Observation(Custom(h), 0.5), cycles=2, spinup=1
    )
    assert calls == []
    twin.run(ef.ETKF(), members=N, seed=0)
    assert calls == [(1, DIM), (N, DIM)] * 2


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("name", [n for n in CALLS if CALLS[n][1]])
def test_y_of_another_size_than_h_is_an_error(name, inner):
    """Also where it could be broadcast: one observation, or one too many."""
    filt, _ = CALLS[name]
    x = np.random.default_rng(0).standard_normal((N, DIM))
    for size in (1, DIM):
        obs = observation(Counted(float), size)
        if inner:
            object.__setattr__(obs, "operator", Subset(np.arange(DIM - 1)) @ obs.operator)
        with pytest.raises(ValueError, match=rf"h returned 7 .* expected {size}, as many as y"):
            filt.analysis(x, np.zeros(size), obs, previous=x - 0.1, rng=0)
    alone = ef.Observation(Custom(Counted(float), pull), 0.5 * np.ones(DIM))
    with pytest.raises(ValueError, match=r"y has shape \(7,\): expected \(8,\)"):
        ef.ETKF().analysis(x, np.zeros(7), alone)


def test_size_asks_h_only_where_someone_asks_for_it():
    operator = Custom(lambda x: x[:, ::2])
    assert operator.size(DIM) == 4
    assert ef.Observation(operator, 0.5).size(DIM) == 4
    with pytest.raises(ValueError, match="std has 3 entries: expected 4"):
        ef.Observation(operator, [0.5] * 3).simulate(np.zeros(DIM))
