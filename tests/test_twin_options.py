"""Twin experiments with an initial ensemble of the user's, and with changing observations."""

import numpy as np
import pytest
from test_twin import DIM, Recording, assert_same_scores, make_twin

import enfilt as ef
from enfilt.experiments.records import Records


def test_an_initial_ensemble_of_the_users():
    given = np.random.default_rng(0).standard_normal((5, DIM))
    filt, before = Recording(), given.copy()
    make_twin(initial_ensemble=given).run(filt, seed=0)
    np.testing.assert_array_equal(filt.calls[0]["forecast"], before)
    np.testing.assert_array_equal(given, before)  # nobody writes to it
    with pytest.raises(ValueError, match=r"initial_ensemble has shape \(5, 8\): expected \(4, 8\)"):
        make_twin(initial_ensemble=given).run(filt, members=4)
    given[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"initial_ensemble\[2, 3\] is nan"):
        make_twin(initial_ensemble=given).run(filt)
    with pytest.raises(TypeError, match="members=None"):
        make_twin().run(filt)


def test_a_standard_deviation_of_each_component():
    std = np.linspace(0, 2, DIM)
    filts = [Recording() for _ in range(2)]
    for filt, given in zip(filts, (std, 1.0), strict=True):
        make_twin(cycles=1, initial_std=given).run(filt, members=6, seed=0)
    wide, plain = (filt.calls[0]["forecast"] for filt in filts)
    np.testing.assert_array_equal(wide, std * plain)
    for bad, message in ((-std, "at least 0"), (std + np.inf, "finite"), (std[1:], "has shape")):
        with pytest.raises(ValueError, match=f"initial_std.*{message}"):
            make_twin(initial_std=bad).run(Recording(), members=6, seed=0)


def test_observations_that_take_turns():
    one = ef.Observation(ef.operators.Every(2), std=0.1)
    other = ef.Observation(ef.operators.Identity(), std=0.2)

    def of(cycle):
        return (one, other, None)[cycle % 3]

    filts = [Recording(), Recording()]
    results = [
        ef.TwinExperiment(ef.models.Lorenz96(dim=DIM), obs, cycles=5, spinup=9).run(
            filt, members=3, seed=0
        )
        for obs, filt in zip(([one, other, None], of), filts, strict=True)
    ]
    assert_same_scores(*results)
    assert [call["y"].size for call in filts[0].calls] == [4, 8, 4, 8]
    assert filts[0].calls[0]["obs"] is filts[0].calls[2]["obs"]  # the model's grid is given once
    truth = results[0].truth
    np.testing.assert_allclose(filts[0].calls[3]["y"], truth[4], atol=1.2)
    # without observations the analysis is the forecast
    assert results[0].rmse.analysis[2] == results[0].rmse.forecast[2]
    assert results[0].info["operator"] == "Every(k=2, offset=0) and Identity() and None"


def test_changing_observations_that_are_none():
    model = ef.models.Lorenz96(dim=DIM)
    with pytest.raises(TypeError, match=r"expected an enfilt\.Observation"):
        ef.TwinExperiment(model, [3])
    with pytest.raises(ValueError, match="empty"):
        ef.TwinExperiment(model, [])
    with pytest.raises(TypeError, match=r"obs\(0\)=3"):
        ef.TwinExperiment(model, lambda cycle: 3).run(Recording(), members=3)
    with pytest.raises(ValueError, match="nothing in any cycle"):
        ef.TwinExperiment(model, [None], cycles=2).usual_obs  # noqa: B018


def test_a_twin_with_changing_observations_is_compared():
    obs = [ef.Observation(ef.operators.Every(2, k), std=0.1) for k in (0, 1)]
    twin = ef.TwinExperiment(ef.models.Lorenz96(dim=DIM), obs, cycles=3, spinup=9)
    assert [run.cycles for run in ef.compare(twin, {"a": ef.ETKF()})] == [3]


def test_rows_with_and_without_a_value():
    records = Records()
    for k in range(40):
        records.append({"k": k, "row": np.full(3, k)} | ({"late": 1.0} if k % 7 == 6 else {}))
    found = records.arrays()
    np.testing.assert_array_equal(found["k"], np.arange(40))
    assert found["k"].dtype == found["row"].dtype == np.int64
    np.testing.assert_array_equal(found["row"][:, 2], np.arange(40))
    np.testing.assert_array_equal(np.isnan(found["late"]), np.arange(40) % 7 != 6)
    other = Records()
    other.restore(records.state())
    other.append({"k": 40, "row": np.zeros(3), "late": 2.0})
    np.testing.assert_array_equal(other.arrays()["late"][[6, 39, 40]], [1.0, np.nan, 2.0])


def test_the_first_rows_are_dropped():
    records = Records()
    for k in range(100):
        records.append({"k": k} | ({"late": float(k)} if k > 90 else {}))
        records.keep(10)
        held = records.arrays()["k"]
        assert min(k + 1, 10) <= held.size < 20
        np.testing.assert_array_equal(held, np.arange(k + 1 - held.size, k + 1))
    np.testing.assert_array_equal(records.arrays(99, 4)["k"], np.arange(95, 99))


def test_statistics_against_observations(tmp_path):
    """They are those of an assimilation of the same observations, and change nothing else."""
    obs = ef.Observation(ef.operators.Every(2), std=0.3, kinds=["a", "b"] * 2)
    options = {"cycles": 6, "steps_per_cycle": 5, "spinup": 20}
    model = ef.models.Lorenz96(dim=DIM)
    twin = ef.TwinExperiment(model, obs, **options, innovations=True)
    filt = Recording()
    result = twin.run(filt, members=5, seed=2)
    plain = ef.TwinExperiment(model, obs, **options).run(Recording(), members=5, seed=2)
    assert_same_scores(result, plain)
    assert plain.innovations is None
    assert "innovations" not in plain.kinds
    seen = [(0.05 * k, call["y"], obs) for k, call in enumerate(filt.calls)]
    given = filt.calls[0]["forecast"]
    wanted = ef.Assimilation(model, seen).run(Recording(), ensemble=given, seed=2).innovations
    assert result.innovations == wanted
    loaded = ef.Result.load(result.save(tmp_path / "run.npz"))
    assert loaded.innovations == wanted
    assert loaded.info == result.info
    pytest.importorskip("xarray")
    np.testing.assert_array_equal(result.to_xarray()["innovations_r"], wanted.series("r"))
    pytest.importorskip("matplotlib")
    assert len(result.plot(kind="innovations").axes) == 4
    with pytest.raises(ValueError, match="kind='innovations': this result holds"):
        plain.plot(kind="innovations")
    with pytest.raises(TypeError, match="innovations=1"):
        ef.TwinExperiment(model, obs, innovations=1)
