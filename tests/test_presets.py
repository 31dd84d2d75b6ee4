"""Presets: their published figures, and settings changed by name."""

import dataclasses

import numpy as np
import pytest

import enfilt as ef
from enfilt import backends, presets
from enfilt.experiments.presets import PRESETS
from enfilt.experiments.settings import parse_value

COMPILED = backends.available()[0] != "numpy"
# RMSE hardly depends on D: without compiled kernels a smaller state has to do
PUBLISHED_DIM = 20_000 if COMPILED else 2_000


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lorenz96_1m_reaches_the_published_rmse(seed):
    preset = presets.get("lorenz96-1m")
    figure = preset.published
    assert (figure.low, figure.rmse, figure.high, figure.last) == (0.160, 0.1725, 0.190, 50)
    smaller = preset.replace({"model.dim": PUBLISHED_DIM})
    result = smaller.twin.run(smaller.filter, members=smaller.members, seed=seed)
    assert result.cycles == 80
    assert 0.160 <= result.rmse.analysis[-50:].mean() <= 0.190


def test_lorenz96_1m_is_the_published_setting():
    settings = presets.get("lorenz96-1m").settings()
    wanted = {
        "model.dim": 1_000_000,
        "model.forcing": 8.0,
        "model.dt": 0.01,
        "model.model_noise": 0.0,
        "obs.operator": ef.operators.Arctan(),
        "obs.std": 0.05,
        "filter.path": "f2p",
        "filter.guidance": "local",
        "filter.steps": 19,
        "filter.sigma_min": 0.01,
        "filter.strength": 0.05,
        "filter.inflation": 1.0,
        "members": 20,
        "cycles": 80,
        "steps_per_cycle": 10,
        "spinup": 1000,
        "initial_mean": "zero",
        "initial_std": 1.0,
    }
    assert {name: settings[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs(name):
    preset = presets.get(name)
    assert preset.name == name
    wanted = {"model.dim": 40, "cycles": 2, "spinup": 5, "members": 4, "filter.steps": 2}
    wanted["model.domain"] = 16.0  # of Kuramoto-Sivashinsky: what 40 points can hold
    wanted["model.n"] = 32
    small = preset.replace({k: v for k, v in wanted.items() if k in preset.settings()})
    result = small.twin.run(small.filter, members=small.members, seed=0)
    assert result.cycles == 2
    assert result.truth.dtype == np.dtype(preset.twin.dtype)
    assert np.isfinite(result.rmse.analysis).all()


@pytest.mark.parametrize("n", [32, 64])
def test_what_is_observed_follows_the_size_of_a_grid(n):
    preset = presets.get("kolmogorov-128").replace({"model.n": n})
    points = np.zeros((2, n, n))
    points[:, ::10, ::10] = 1
    np.testing.assert_array_equal(
        preset.twin.obs.operator(np.arange(2.0 * n * n)), np.flatnonzero(points)
    )
    every = ef.operators.Every(7)
    assert preset.replace({"model.n": 16, "obs.operator": every}).twin.obs.operator is every


@pytest.mark.parametrize("name", PRESETS)
def test_settings_are_what_replace_takes(name):
    preset = presets.get(name)
    settings = preset.settings()
    assert {"members", "cycles", "model.dt", "obs.std", "filter.inflation"} <= set(settings)
    again = preset.replace(settings)
    assert again.settings() == settings


def test_replace():
    preset = presets.get("lorenz96-partial")
    changed = preset.replace(
        {
            "members": 7,
            "model.forcing": 6.0,
            "filter.steps": 4,
            "filter.path": "ot",
            "obs.operator": ef.operators.Every(2),
            "obs.std": 0.3,
        }
    )
    assert changed.members == 7
    assert changed.twin.model == dataclasses.replace(preset.twin.model, forcing=6.0)
    assert (changed.filter.steps, changed.filter.path) == (4, "ot")
    assert changed.twin.obs.operator == ef.operators.Every(2)
    assert changed.twin.obs.std == 0.3
    assert preset.members == 20  # the preset itself stays as it was
    assert preset.filter.steps == 19


@pytest.mark.parametrize("turned", [False, True])
def test_the_order_of_changes_does_not_matter(turned):
    """guidance='covariance' is an error with the preset's own path."""
    changes = {"filter.guidance": "covariance", "filter.path": "ot"}
    if turned:
        changes = dict(reversed(changes.items()))
    found = presets.get("lorenz96-partial").replace(changes).filter
    assert (found.guidance, found.path) == ("covariance", "ot")


def test_a_changed_preset_has_no_published_figure():
    preset = presets.get("lorenz96-1m")
    assert preset.replace({}).published is preset.published
    assert preset.replace({"filter.backend": "numpy"}).published is preset.published
    assert preset.replace({"filter.steps": 9}).published is None
    assert preset.replace({"members": 20, "model.backend": "numpy"}).published is None


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"filter.step": 3}, ValueError, "filter.step is no setting.*did you mean 'filter.steps'"),
        ({"member": 3}, ValueError, "did you mean 'members'"),
        ({"model.dims": 3}, ValueError, "did you mean 'model.dim'"),
        ({"xyz": 3}, ValueError, "xyz is no setting of lorenz96-partial; known are members"),
        ({"published": None}, ValueError, "published is no setting"),
        ({"model": None}, ValueError, "model is no setting"),
        ({"filter.steps": 0}, ValueError, "steps=0"),
        ({"filter.path": "f2q"}, ValueError, "path='f2q'.*did you mean 'f2p'"),
        ({"filter.guidance": "covariance"}, ValueError, "guidance='covariance'"),
        ({"model.dim": 2}, ValueError, "dim=2"),
        ({"obs.std": -1}, ValueError, "std=-1"),
        ({"obs.operator": "Arctan"}, TypeError, "operator='Arctan'"),
    ],
)
def test_bad_changes(changes, kind, message):
    with pytest.raises(kind, match=message):
        presets.get("lorenz96-partial").replace(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cycles": 0}, "cycles=0"),
        ({"spinup": -1}, "spinup=-1"),
        ({"initial_mean": "truht"}, "initial_mean='truht'.*did you mean 'truth'"),
        ({"obs.operator": ef.operators.Subset([40])}, "indices holds 40"),
    ],
)
def test_what_only_the_experiment_can_check(change, message):
    with pytest.raises(ValueError, match=message):
        presets.get("lorenz96").replace(change)


def test_unknown_preset():
    with pytest.raises(
        ValueError, match=r"preset='lorenz69' is not known.*did you mean 'lorenz96'"
    ):
        presets.get("lorenz69")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("19", 19),
        ("-3", -3),
        ("0.05", 0.05),
        ("1e-3", 1e-3),
        ("None", None),
        ("True", True),
        ("[1, 2]", [1, 2]),
        ("(1, 2.5)", (1, 2.5)),
        ("f2p", "f2p"),
        ("'f2p'", "f2p"),
        ("monte-carlo", "monte-carlo"),
        ("not a literal", "not a literal"),
        ("", ""),
        ("1 +", "1 +"),
        ("Arctan()", ef.operators.Arctan()),
        ("Every(2, offset=1)", ef.operators.Every(2, offset=1)),
        ("Subset([3, 1])", ef.operators.Subset([3, 1])),
        ("Arctan() @ Every(2)", ef.operators.Arctan() @ ef.operators.Every(2)),
        (
            "Power(2) @ Tanh() @ Every(2)",
            ef.operators.Power(2) @ ef.operators.Tanh() @ ef.operators.Every(2),
        ),
        ("RTPS(0.3)", ef.inflation.RTPS(0.3)),
        ("RTPP(relaxation=0.3)", ef.inflation.RTPP(0.3)),
        ("Multiplicative(-0.5 + 2)", "Multiplicative(-0.5 + 2)"),
        ("open('x')", "open('x')"),
        ("__import__('os').getpid()", "__import__('os').getpid()"),
        ("Custom", "Custom"),
    ],
)
def test_parse_value(text, value):
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["Every()", "Every(2, 3, 4)", "Arctan(5)", "Every(step=2)"])
def test_parse_value_of_an_operator_with_wrong_arguments(text):
    with pytest.raises(TypeError, match="argument"):
        parse_value(text)
