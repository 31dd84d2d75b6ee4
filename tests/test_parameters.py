"""Components without a place and without dynamics: parameters of the model."""

import numpy as np
import pytest

import enfilt as ef
from enfilt.geometry import Masked, Points, RegularGrid, Sphere, WithParameters
from enfilt.inflation import RTPP, RTPS, Adaptive, FiniteSize
from enfilt.localization import ByVariable, FromEnsemble, GaspariCohn, Taper
from enfilt.operators import Arctan, Every, Subset

TAPER = GaspariCohn(4.0)
RING = RegularGrid((12,))
SPHERE = Sphere(np.arange(0, 360, 90), [[-50.0], [0.0], [50.0]], variables={"u": 1})
LAYERS = Sphere(np.arange(0, 360, 90), [[0.0]], vertical=[0.0, 1.0, 2.0], variables={"u": 3})
GRIDS = {
    "ring": (RING, TAPER),
    "several": (RegularGrid((2, 3), variables=2), GaspariCohn(2.0)),
    "points": (Points(np.arange(12.0)), TAPER),
    "sphere": (SPHERE, GaspariCohn(9000.0)),
    "masked": (Masked(RegularGrid((3, 6)), np.arange(18) % 3 > 0), GaspariCohn(2.5)),
    "heights": (LAYERS, Taper(horizontal=9000.0, vertical=1.5)),
}


def ensemble(members=8, dim=14, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((members, dim))
    x[:, 12:] += x[:, :12] @ rng.standard_normal((12, dim - 12)) / 3
    return x.astype(dtype)


def observing(grid, operator=None, **options):
    operator = Every(2) @ Subset(np.arange(12)) if operator is None else operator
    return ef.Observation(operator, **({"std": 0.7} | options), grid=grid)


Y = np.random.default_rng(5).standard_normal(6)


def filters(taper):
    return {
        "letkf": ef.LETKF(taper),
        "letkf by variable": ef.LETKF(ByVariable(((GaspariCohn(2.5),),), ((0.9,),))),
        "enkf": ef.EnKF(localization=taper),
        "denkf": ef.EnKF(localization=taper, method="denkf"),
        "lenff": ef.LEnFF(taper, steps=3),
        "lenff()": ef.LEnFF(),
        "letkf tuned": ef.LETKF(FromEnsemble(), Adaptive()),
    }


@pytest.mark.parametrize("name", filters(TAPER))
@pytest.mark.parametrize("grid", GRIDS)
def test_the_others_are_as_without_them(grid, name):
    where, taper = GRIDS[grid]
    if grid == "several" and "by variable" in name:
        name = "letkf"
    x, y = ensemble(), Y.copy()
    y[2] = np.nan
    filt = filters(taper)[name]
    alone = filt.analysis(x[:, :12], y, observing(where), rng=0)
    facts = filt.facts
    filt.reset()
    found = filt.analysis(x, y, observing(WithParameters(where, 2)), rng=0)
    np.testing.assert_allclose(found[:, :12], alone, rtol=1e-11, atol=1e-11)
    assert filt.facts == pytest.approx(facts)
    assert (found[:, 12:] != x[:, 12:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_parameter_sees_every_observation(dtype, backend):
    """The LETKF's is that of the ETKF; a weight is one on the precisions."""
    x, y = ensemble(dtype=dtype), Y.astype(dtype)
    letkf = ef.LETKF(TAPER, backend=backend)
    for weight in (1.0, 0.25):
        obs = observing(WithParameters(RING, 2, weight))
        found = letkf.analysis(x, y, obs)[:, 12:]
        wanted = ef.ETKF().analysis(x, y, observing(None, std=0.7 / np.sqrt(weight)))[:, 12:]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_flows_and_gains_are_those_of_plain_formulas(weight, backend):
    x = ensemble()
    obs = observing(WithParameters(RING, 2, weight), Arctan() @ Subset(np.arange(0, 12, 2)))
    h = np.arctan(x[:, 0:12:2])
    anomalies, own = h - h.mean(axis=0), (x - x.mean(axis=0))[:, 12:]
    places = np.arange(0, 12, 2)
    apart = np.abs(np.subtract.outer(places, places))
    rho = TAPER.weight(np.minimum(apart, 12 - apart).astype(float))
    covariance = rho * (anomalies.T @ anomalies) / 7
    cross = weight * (own.T @ anomalies) / 7
    # LEnFF in one step
    gains = (Y - (h + h.mean(axis=0)) / 2) / (np.abs(covariance).sum(axis=1) + 0.7**2)
    found = ef.LEnFF(TAPER, steps=1, backend=backend).analysis(x, Y, obs)
    np.testing.assert_allclose(found[:, 12:], x[:, 12:] + gains @ cross.T, atol=1e-13)
    # the DEnKF
    pull = np.linalg.solve(
        covariance + 0.7**2 * np.eye(6), ((Y - h.mean(axis=0)) - anomalies / 2).T
    )
    found = ef.EnKF(localization=TAPER, method="denkf").analysis(x, Y, obs)
    np.testing.assert_allclose(found[:, 12:], x[:, 12:] + pull.T @ cross.T, atol=1e-13)


def test_regression_onto_parameters():
    """With all weights one it is the regression without localization."""
    x = ensemble()
    grid = WithParameters(RING, 2)
    wide = GaspariCohn(1e9)
    plain = ef.EnSF(steps=8, regress_unobserved=True)
    local = ef.EnSF(steps=8, regress_unobserved=True, localization=wide)
    wanted = plain.analysis(x, Y, observing(None), rng=0)
    np.testing.assert_allclose(local.analysis(x, Y, observing(grid), rng=0), wanted, atol=1e-9)


@pytest.mark.parametrize("inflation", [1.5, RTPP(0.4), RTPS(0.6), Adaptive(), FiniteSize()])
def test_inflation_leaves_them_out_and_they_have_their_own(inflation):
    x = ensemble()
    obs = observing(WithParameters(RING, 2))
    plain = ef.ETKF().analysis(x, Y, obs)
    widened = ef.ETKF(inflation).analysis(x, Y, observing(RING.__class__((14,))))
    found = ef.ETKF(inflation).analysis(x, Y, obs)
    if not isinstance(inflation, Adaptive | FiniteSize):  # these widen before the analysis
        np.testing.assert_array_equal(found[:, 12:], plain[:, 12:])
        np.testing.assert_array_equal(found[:, :12], widened[:, :12])
    kept = ef.ETKF(inflation, parameter_inflation=RTPS(1.0)).analysis(x, Y, obs)
    np.testing.assert_array_equal(kept[:, :12], found[:, :12])
    np.testing.assert_allclose(kept[:, 12:].std(axis=0), x[:, 12:].std(axis=0), rtol=1e-12)
    twice = ef.ETKF(inflation, parameter_inflation=2.0).analysis(x, Y, obs)
    np.testing.assert_allclose(
        twice[:, 12:] - twice[:, 12:].mean(axis=0),
        2 * (found[:, 12:] - found[:, 12:].mean(axis=0)),
        atol=1e-13,
    )
    assert "parameter_inflation=1.5" in ef.ETKF(parameter_inflation=1.5).describe()


def test_adaptive_inflation_widens_the_forecast_of_the_others_alone():
    """The parameter moves by its own spread: half of it with half of the covariance."""
    x = ensemble()
    far = Y + 8  # innovations much larger than the spread
    obs = observing(WithParameters(RING, 2))
    filt = ef.LETKF(TAPER, Adaptive())
    found = filt.analysis(x, far, obs)
    assert filt.facts["inflation"] > 1.2
    assert (found[:, 12:].std(axis=0) < x[:, 12:].std(axis=0)).all()


def test_of_a_batch_and_of_given_values():
    x = np.stack([ensemble(), ensemble(seed=1)])
    obs = observing(WithParameters(RING, ["a", "b"]))
    for filt in (ef.LETKF(TAPER, 1.1), ef.LEnFF(), ef.EnKF(localization=TAPER, method="denkf")):
        together = filt.analysis(x, np.stack([Y, Y]), obs)
        filt.reset()
        np.testing.assert_allclose(together[0], filt.analysis(x[0], Y, obs), atol=1e-12)
        filt.reset()
        given = filt.analysis(x[0], Y, obs, observed=x[0, :, 0:12:2])
        np.testing.assert_allclose(given, together[0], atol=1e-11)
    ef.testing.check_filter(
        ef.LETKF(TAPER, RTPS(0.5), parameter_inflation=1.1),
        obs=observing(WithParameters(RegularGrid((9,)), 2), Every(3) @ Subset(np.arange(9))),
    )


def test_with_an_infinite_cutoff_it_is_the_global_filter():
    x = ensemble()
    for grid in (WithParameters(RING, 2), WithParameters(RING, 2, 0.5)):
        found = ef.LETKF(GaspariCohn(np.inf)).analysis(x, Y, observing(grid))
        wanted = ef.ETKF().analysis(x, Y, observing(None))
        np.testing.assert_allclose(found[:, :12], wanted[:, :12], atol=1e-12)
        same = np.allclose(found[:, 12:], wanted[:, 12:], atol=1e-12)
        assert same == (grid.weight == 1)


def test_places_and_names():
    grid = WithParameters(SPHERE, ["drag", "albedo"])
    assert grid.size == 14
    assert grid.components("albedo") == slice(13, 14)
    assert grid.components("u") == slice(0, 12)
    assert np.isnan(grid.coordinates([12])).all()
    some = grid.coordinates([0, 5, 13])
    distances = grid.distances(some, some)
    np.testing.assert_array_equal(distances[:2, :2], SPHERE.distances(some[:2], some[:2]))
    assert not distances[2].any()
    h, where = ef.operators.interpolate(grid, [[10.0, 20.0]], variable="u")
    inner = ef.operators.interpolate(SPHERE, [[10.0, 20.0]], variable="u")
    x = np.arange(14.0)
    assert h(x) == inner.operator(x[:12])
    np.testing.assert_array_equal(where, inner.locations)
    layout = ef.state.Layout(
        {"u": {"lat": 3, "lon": 4}, "drag": {}, "albedo": {}},
        coords={"lat": ("lat", [-50.0, 0.0, 50.0]), "lon": ("lon", np.arange(0.0, 360, 90))},
    )
    found = layout.geometry()
    assert found.parameters == grid.parameters
    np.testing.assert_array_equal(found.coordinates(), grid.coordinates())
    mixed = ef.state.Layout({"drag": {}, "u": {"x": 4}})
    with pytest.raises(ValueError, match=r"expected \['drag'\], which have no dimensions"):
        mixed.geometry()


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: WithParameters(RING, 0), ValueError, "parameters=0"),
        (lambda: WithParameters(RING, "drag"), TypeError, "parameters='drag'"),
        (lambda: WithParameters(RING, ["a", "a"]), ValueError, "each name once"),
        (lambda: WithParameters(RING, 1, weight=0), ValueError, "weight=0"),
        (lambda: WithParameters(WithParameters(RING, 1), 1), ValueError, "already"),
        (lambda: WithParameters(RING, ["a"]).components("b"), ValueError, "variable='b'"),
        (lambda: ef.ETKF(parameter_inflation=Adaptive()), TypeError, "parameter_inflation=Adapt"),
        (lambda: ef.ETKF(parameter_inflation=-1), ValueError, "parameter_inflation=-1"),
        (
            lambda: ef.LETKF(TAPER).analysis(
                ensemble(), np.zeros(2), observing(WithParameters(RING, 2), Subset([3, 13]))
            ),
            ValueError,
            "observation 1 is of a parameter",
        ),
        (
            lambda: ef.ETKF().analysis(ensemble(), Y, observing(WithParameters(RING, 3))),
            ValueError,
            "grid has 15 points: expected 14",
        ),
        (
            lambda: ef.ScoreFilter(steps=3, prior=ef.priors.GaussianPrior(TAPER)).analysis(
                ensemble(), Y, observing(WithParameters(RING, 2))
            ),
            ValueError,
            "without parameters",
        ),
    ],
)
def test_what_does_not_fit(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize("filt", [ef.LEnFF, ef.LETKF, ef.ETKF])
def test_an_unknown_forcing_is_found(filt):
    """Lorenz-96 with a forcing of 8, the ensemble's being 7 with a standard deviation of 1.

    Averaged over cycles, the error is within the spread that the filter itself tells.
    """

    def model(states, steps):
        fields = [
            ef.models.Lorenz96(dim=40, forcing=x[40]).step(x[None, :40].copy(), steps)[0]
            for x in states
        ]
        return np.column_stack([fields, states[:, 40]])

    kept = {"parameter_inflation": RTPS(0.9)}
    filt, members = {
        ef.LEnFF: (ef.LEnFF(**kept), 20),
        ef.LETKF: (ef.LETKF(GaspariCohn(14.0), 1.04, **kept), 20),
        ef.ETKF: (ef.ETKF(1.02, **kept), 40),
    }[filt]
    grid = WithParameters(RegularGrid((40,)), ["forcing"])
    twin = ef.TwinExperiment(
        model,
        ef.Observation(Subset(np.arange(0, 40, 2)), std=1.0, grid=grid),
        cycles=200,
        steps_per_cycle=5,
        spinup=500,
        initial_state=np.append(np.sin(np.arange(40)), 8.0),
        initial_mean=np.append(np.zeros(40), 7.0),
        track=41,
    )
    result = twin.run(filt, members=members, seed=0)
    forcing, spread = result.mean[100:, 40].mean(), result.deviation[100:, 40].mean()
    assert abs(forcing - 8) < spread < 0.25
    assert result.tracks(last=100)
