"""Filters as methods of DAPPER, in its own experiments."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dapper")

import dapper as dpr
import dapper.mods as modelling
from dapper import da_methods
from dapper.mods.Lorenz63.sakov2012 import HMM as LORENZ63
from dapper.mods.Lorenz96.sakov2008 import HMM as LORENZ96
from dapper.tools.localization import localization_setup, pairwise_distances

import enfilt as ef
from enfilt import dapper as ours

PAGE = (Path(__file__).parents[1] / "docs" / "dapper.md").read_text()


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setitem(dpr.rc, "liveplotting", False)


def run(hmm, cycles, *methods, seed=3000):
    """Return methods after a run on one truth and one start, with their statistics."""
    hmm = hmm.copy()
    hmm.tseq.BurnIn = 0
    hmm.tseq.Ko = cycles - 1
    dpr.set_seed(seed)
    xx, yy = hmm.simulate()
    for method in methods:
        dpr.set_seed(seed)
        method.assimilate(hmm, xx, yy, liveplots=False)
    return methods


def errors(method):
    return method.stats.err.rms.a


def moving():
    """Ten observations of Lorenz-96 that move on by three and a half places in each cycle."""
    places = np.arange(40)[:, None]

    def at(ko):
        where = (3.5 * ko + 4 * np.arange(10)) % 40
        left = np.floor(where).astype(int)
        matrix = np.zeros((10, 40))
        matrix[np.arange(10), left] = 1 - where % 1
        matrix[np.arange(10), (left + 1) % 40] += where % 1
        near = localization_setup(
            lambda: pairwise_distances(where[:, None], places, domain=(40,)), places
        )
        return modelling.Operator(
            M=10, model=lambda x: x @ matrix.T, linear=lambda x: matrix, noise=0.25, localizer=near
        )

    hmm = LORENZ96.copy()
    hmm.Obs = modelling.TimeDependentOperator(time_dependent=at)
    return hmm


LETKF = {"N": 10, "infl": 1.04, "loc_rad": 4, "rot": True}
ETKF = {"N": 20, "infl": 1.02, "rot": True}


@pytest.mark.parametrize("hmm", [LORENZ96, moving()], ids=["sakov2008", "moving observations"])
def test_letkf_is_the_one_of_dapper(hmm):
    """Of the same ensemble, and the same random rotations."""
    theirs, mine = run(hmm, 20, da_methods.LETKF(**LETKF), ours.LETKF(**LETKF))
    np.testing.assert_allclose(errors(mine), errors(theirs), rtol=1e-6)
    np.testing.assert_allclose(mine.stats.spread.rms.f, theirs.stats.spread.rms.f, rtol=1e-6)
    assert mine.stats.err.rms.f[-1] != mine.stats.err.rms.a[-1]


@pytest.mark.parametrize("hmm", [LORENZ63, LORENZ96], ids=["Lorenz63", "Lorenz96"])
def test_etkf_is_the_enkf_sqrt_of_dapper(hmm):
    theirs, mine = run(hmm, 20, da_methods.EnKF(upd_a="Sqrt", **ETKF), ours.ETKF(**ETKF))
    np.testing.assert_allclose(errors(mine), errors(theirs), rtol=1e-5)


@pytest.mark.parametrize("kind", ["Lorenz96", "moving"])
def test_correlated_errors(kind):
    hmm = (LORENZ96 if kind == "Lorenz96" else moving()).copy()
    seen = hmm.Obs(0)
    size = seen.M
    seen.noise = modelling.GaussRV(C=0.3 ** abs(np.subtract.outer(np.arange(size), range(size))))
    hmm.Obs = modelling.TimeDependentOperator(time_dependent=lambda ko: seen)
    theirs, mine = run(hmm, 10, da_methods.LETKF(**LETKF), ours.LETKF(**LETKF))
    np.testing.assert_allclose(errors(mine), errors(theirs), rtol=1e-6)
    theirs, mine = run(hmm, 10, da_methods.EnKF(upd_a="Sqrt", **ETKF), ours.ETKF(**ETKF))
    np.testing.assert_allclose(errors(mine), errors(theirs), rtol=1e-5)


def test_lenff_is_the_filter_of_places():
    """Observations of all components: DAPPER's weights are those of a taper on the grid."""
    x, y = np.random.default_rng(0).standard_normal((2, 10, 40))
    method = ours.LEnFF(N=10, loc_rad=4)
    found = method._analyse()(x, y[0], LORENZ96.Obs(0), x)
    distance = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    distance = np.minimum(distance, 40 - distance)
    taper = ef.localization.GaspariCohn(cutoff=2 * 1.82 * 4)
    between = np.where(taper.weight(distance.astype(float)) > 1e-3, taper.weight(distance * 1.0), 0)
    pair = (distance + distance[np.arange(40) ^ 1]) / 2  # of batches of two
    weights = np.where(taper.weight(pair) > 1e-3, taper.weight(pair), 0)
    wanted = ef.kernels.lenff(x, y[0], observed=x, std=1.0, weights=weights, between=between)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("hmm", "method", "most"),
    [
        (LORENZ96, ours.LEnFF(N=10, loc_rad=4, infl=1.02), 0.5),
        (moving(), ours.LEnFF(N=20, loc_rad=4, infl=ef.inflation.RTPS(0.3)), 0.9),
        (LORENZ63, ours.LEnFF(N=20, infl=1.02), 1.2),
        (LORENZ63, ours.EnFF(N=100, path="ot", guidance="covariance", sigma_min=0.1), 1.2),
        (LORENZ96, ours.EnSF(N=20, steps=50, infl=ef.inflation.Adaptive()), 2.5),
    ],
    ids=lambda value: getattr(value, "da_method", ""),
)
def test_the_truth_is_followed(hmm, method, most):
    """By errors well below those of the climate, 3.6 and 7.6 by DAPPER's own tables."""
    (found,) = run(hmm, 60, method)
    assert np.mean(errors(found)[20:]) < most
    assert found.stats.duration > 0


def test_options_are_those_of_the_filter():
    method = ours.EnFF(N=20, steps=7, infl=1.1)
    assert (method.steps, method.path, method.da_method) == (7, ef.EnFF().path, "EnFF")
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        ours.EnFF(N=20, stepz=7)
    with pytest.raises(ValueError, match="steps=0"):
        run(LORENZ63, 2, ours.EnFF(N=20, steps=0))
    with pytest.raises(TypeError, match=r"infl=Adaptive.* LETKF is given weights alone"):
        run(LORENZ96, 2, ours.LETKF(N=5, infl=ef.inflation.Adaptive()))
    exact = LORENZ63.copy()
    exact.Obs.Op1.noise = modelling.GaussRV(C=0, M=3)
    with pytest.raises(ValueError, match=r"noise of HMM.Obs is 0"):
        run(exact, 2, ours.ETKF(N=5))


def test_the_example_of_the_page(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(code, "dapper.md", "exec"), {})
    assert "LEnFF" in capsys.readouterr().out
