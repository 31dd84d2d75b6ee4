"""What filters remember, told and taken back: `state` and `restore`."""

import pickle

import numpy as np
import pytest

import enfilt as ef

DIM, MEMBERS = 12, 8
RING = ef.grids.RegularGrid((DIM,))
OBS = ef.Observation(ef.operators.Every(2), std=0.5, grid=RING)
TUNED = {"inflation": ef.inflation.Adaptive()}
FROM_ENSEMBLE = ef.localization.FromEnsemble()
FILTERS = {
    "lenff": lambda: ef.LEnFF(),
    "letkf": lambda: ef.LETKF(FROM_ENSEMBLE, **TUNED),
    "enkf": lambda: ef.EnKF(localization=FROM_ENSEMBLE, **TUNED),
    "etkf": lambda: ef.ETKF(inflation=ef.inflation.AdaptiveRTPS()),
    "transformed": lambda: ef.Transformed(ef.LEnFF(), ef.transforms.Logit(-30, 30)),
    "batches": lambda: ef.Transformed(ef.LEnFF(), ef.transforms.RankGaussian()),
    "learned": lambda: ef.MASF(steps=3, prior=ef.priors.LearnedPrior(updates=2, width=4)),
}


def cycles(filt, count, rng, batch=()):
    """Return the analyses of some cycles, of ensembles that the filter does not move."""
    found = []
    for _ in range(count):
        x = 2 * rng.standard_normal((*batch, MEMBERS, DIM))
        y = 3 * rng.standard_normal(DIM // 2)
        found.append(filt.analysis(x, y, OBS, previous=x, rng=rng))
    return np.array(found)


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_restored_filter_goes_on(kind, batch):
    if kind == "learned":
        pytest.importorskip("torch")
    filt, other = FILTERS[kind](), FILTERS[kind]()
    rng = np.random.default_rng(0)
    cycles(filt, 3, rng, batch)
    state, again = pickle.loads(pickle.dumps(filt.state())), pickle.dumps(rng)
    facts, wanted = filt.facts, cycles(filt, 3, rng, batch)
    cycles(other, 2, np.random.default_rng(5), batch)
    other.restore(state)
    assert other.facts == facts
    np.testing.assert_array_equal(cycles(other, 3, pickle.loads(again), batch), wanted)
    assert filt.facts == other.facts
    other.reset()  # without what it remembered the analyses are others
    assert not np.array_equal(cycles(other, 3, pickle.loads(again), batch), wanted)


def test_a_state_stays_as_it_was():
    filt, rng = ef.LEnFF(), np.random.default_rng(0)
    cycles(filt, 2, rng)
    state = filt.state()
    before = pickle.dumps(state)
    cycles(filt, 2, rng)
    filt.reset()
    assert pickle.dumps(state) == before


def test_flags_are_told():
    quality = ef.quality.GrossError(threshold=1.0)
    obs = ef.Observation(ef.operators.Identity(), std=0.1, quality=quality)
    filt, other = ef.ETKF(), ef.ETKF()
    filt.analysis(np.eye(3), [5.0, 0.0, 0.3], obs)
    other.restore(filt.state())
    np.testing.assert_array_equal(filt.flags, other.flags)


def test_states_that_are_none():
    with pytest.raises(
        TypeError, match=r"state is of type int: expected what ETKF\.state\(\) gives"
    ):
        ef.ETKF().restore(3)
    with pytest.raises(TypeError, match="state is of type dict"):
        ef.ETKF().restore({})
    with pytest.raises(ValueError, match="state is that of 'ETKF': expected one of EnKF"):
        ef.EnKF().restore(ef.ETKF().state())
