"""The search for a filter's options: what it finds, that it goes on, and its errors."""

import json
import math
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import enfilt as ef
from enfilt import presets
from enfilt.cli import main
from enfilt.filters import FILTERS
from enfilt.filters.knobs import rounded
from enfilt.inflation import RTPS
from enfilt.localization import GaspariCohn
from enfilt.tuning import Trial, Tuning, written

optuna = pytest.importorskip("optuna")

SMALL = {"cycles": 12, "spinup": 50, "members": 8}


@pytest.fixture
def small():
    return presets.get("lorenz96").replace(SMALL)


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return call


def test_finds_a_better_cutoff_than_the_worst():
    preset = presets.get("lorenz96").replace({"cycles": 60, "spinup": 200})
    found = ef.tune(preset, "lenff", trials=10, seeds=[0])
    worst = preset.twin().run(
        ef.LEnFF(GaspariCohn(2.0), inflation=RTPS(0.9)), members=preset.members, seed=0
    )
    assert found.best.rmse < 0.25 * worst.summary(last=30)["rmse.analysis"]
    assert found.best.rmse <= found.trials[0].rmse
    assert 5 < found.best.values["localization"] <= 20  # known from the league
    again = preset.twin().run(found.filter, members=preset.members, seed=0)
    assert again.summary(last=30)["rmse.analysis"] == found.best.rmse


def test_the_first_trial_is_the_usual_setting(small):
    found = ef.tune(small, "letkf", trials=1)
    assert found.trials[0].values == {"localization": 14.0, "inflation": 0.3}
    assert found.filter == ef.LETKF(GaspariCohn(14.0), inflation=RTPS(0.3))


def test_goes_on_where_it_was_stopped(small, tmp_path):
    whole = ef.tune(small, "lenff", trials=9)
    ef.tune(small, "lenff", trials=4, folder=tmp_path)
    parts = ef.tune(small, "lenff", trials=9, folder=tmp_path)
    assert parts.trials == whole.trials
    assert len({tuple(t.values.values()) for t in whole.trials}) == 9
    # enough are there: nothing is run
    assert ef.tune(small, "lenff", trials=5, folder=tmp_path).trials == whole.trials


def test_ctrl_c_keeps_what_is_done(small, tmp_path):
    class Interrupted(ef.ETKF):
        calls = 0

        def _update(self, cycle, out):
            Interrupted.calls += 1
            if Interrupted.calls == 20:
                raise KeyboardInterrupt
            super()._update(cycle, out)

    filt = Interrupted()
    assert len(ef.tune(small, filt, trials=4, seeds=[0], folder=tmp_path).trials) == 1
    assert len(ef.tune(small, filt, trials=4, seeds=[0], folder=tmp_path).trials) == 4


def test_other_trials_in_the_folder_are_refused(small, tmp_path):
    ef.tune(small, "lenff", trials=1, seeds=[0], folder=tmp_path)
    other = small.replace({"members": 9})
    with pytest.raises(ValueError, match=r"holds trials with members=8: expected 9"):
        ef.tune(other, "lenff", trials=2, seeds=[0], folder=tmp_path)
    with pytest.raises(ValueError, match=r"holds trials with seeds=\[0\]: expected \[0, 1\]"):
        ef.tune(small, "lenff", trials=2, seeds=[0, 1], folder=tmp_path)


def test_a_run_that_diverges_counts_as_infinite(small):
    class Exploding(ef.LETKF):
        def _update(self, cycle, out):
            super()._update(cycle, out)
            if self.inflation.relaxation > 0.3:
                out *= 1e200

    found = ef.tune(small, Exploding(GaspariCohn(5.0)), trials=8)
    bad = [t.values["inflation"] > 0.3 for t in found.trials]
    assert [math.isinf(t.rmse) for t in found.trials] == bad
    assert any(bad)
    assert found.best.values["inflation"] <= 0.3


def test_the_error_is_the_mean_over_seeds(small):
    found = ef.tune(small, "etkf", trials=1, seeds=[2, 5])
    errors = [
        small.twin().run(found.filter, members=8, seed=s).summary(last=6)["rmse.analysis"]
        for s in (2, 5)
    ]
    assert found.best.rmse == pytest.approx(np.mean(errors), rel=1e-12)


@pytest.mark.parametrize("preset", ["lorenz96-partial", "lorenz96-two-scale", "kolmogorov-128"])
@pytest.mark.parametrize("name", FILTERS)
def test_every_knob_makes_a_filter(preset, name):
    problem = presets.get(preset)
    start = problem.filters([name])[name]
    knobs = start.search_space(problem.model, problem.obs)
    for knob in knobs.values():
        assert knob.low <= knob.usual <= knob.high
    found = Tuning(problem, name, start, knobs, (0,), [])
    for end in ("low", "usual", "high"):
        filt = found.at({k: getattr(v, end) for k, v in knobs.items()})
        assert type(filt) is type(start)


def test_the_best_is_written_as_it_is_read(small):
    start = ef.MASF(mode="published", prior=ef.priors.GaussianPrior(GaspariCohn(3.0)))
    knobs = start.search_space(small.model, small.obs)
    values = {"prior": 7.25, "inflation": 0.4}
    found = Tuning(small, "masf", start, knobs, (0,), [Trial(values, 1.0)])
    assert eval(found.expression, {"ef": ef}) == found.filter
    base = presets.get("lorenz96").with_filter("masf")
    changes = {k: presets.parse_value(v) for k, v in found.settings.items()}
    assert base.replace(changes).filter.prior == found.filter.prior
    model = ef.models.Lorenz96(dim=8, dt=0.05)
    text = written(ef.IEnKF(model, 4), "ef.")
    assert eval(text, {"ef": ef}) == ef.IEnKF(model, 4)


def test_rounded():
    assert [rounded(v) for v in (0.0, 12.3456, 0.00123456, 98765.0)] == [
        *(0.0, 12.3, 0.00123, 98800.0)
    ]


def test_errors(small):
    with pytest.raises(ValueError, match=r"preset='lorenz97' is not known.*did you mean"):
        ef.tune("lorenz97", "lenff")
    with pytest.raises(ValueError, match=r"filter='lenf' is not known.*did you mean 'lenff'"):
        ef.tune(small, "lenf")
    with pytest.raises(ValueError, match="trials=0"):
        ef.tune(small, "lenff", trials=0)
    with pytest.raises(ValueError, match="seeds: expected at least one"):
        ef.tune(small, "lenff", seeds=[])
    with pytest.raises(ValueError, match="seeds=-1"):
        ef.tune(small, "lenff", seeds=[-1])
    with pytest.raises(TypeError, match="filt=3: expected a filter"):
        ef.tune(small, 3)


def test_without_optuna(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'enfilt\[tune\]'"):
        ef.tune(small, "lenff")


def test_optuna_is_as_talkative_afterwards_as_before(small):
    before = optuna.logging.get_verbosity()
    ef.tune(small, "etkf", trials=1)
    assert optuna.logging.get_verbosity() == before


ARGUMENTS = ["--cycles", 12, "--members", 8, "--set", "spinup=50"]


def test_shell(shell, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("tune", "lorenz96", "--filter", "lenff", *ARGUMENTS, "--out", tmp_path)
    assert shell(*arguments, "--trials", 2).exit_code == 0
    done = shell(*arguments, "--trials", 4)
    assert done.exit_code == 0, done.output
    assert "4 trials, 0 diverged" in done.output
    stem = "lorenz96-lenff-tune"
    names = [f"{stem}.{ending}" for ending in ("json", "log", "md", "png")]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert (tmp_path / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((tmp_path / f"{stem}.json").read_text())
    assert len(summary["trials"]) == 4
    assert (summary["members"], summary["cycles"], summary["seeds"]) == (8, 12, [0, 1])
    best = min(trial["rmse"] for trial in summary["trials"])
    assert summary["best"]["rmse"] == best
    assert f"{best:.4g}" in done.output
    assert summary["expression"] in done.output
    assert summary["expression"] in (tmp_path / f"{stem}.md").read_text()
    # what it prints runs, and comes to the same filter
    options = re.search(r"enfilt (run .*)", done.output)[1]
    words = [w.strip('"') for w in re.findall(r'"[^"]*"|\S+', options)]
    small = ["--set", "cycles=12", "--set", "members=8", "--set", "spinup=50", "--settings"]
    run = shell(*words, *small)
    assert run.exit_code == 0, run.output
    assert summary["settings"]["filter.localization"].partition("=")[2][:-1] in run.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lorenz97", "--filter", "lenff"], "did you mean"),
        (["lorenz96", "--filter", "lenf"], "did you mean 'lenff'"),
        (["lorenz96", "--filter", "lenff", "--trials", 0], "trials=0"),
        (["lorenz96", "--filter", "lenff", "--set", "member=3"], "did you mean 'members'"),
    ],
)
def test_bad_arguments(shell, tmp_path, arguments, message):
    done = shell("tune", *arguments, "--out", tmp_path)
    assert done.exit_code == 1
    assert message in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_filter_that_names_no_options(small, shell, tmp_path, monkeypatch):
    monkeypatch.setattr(ef.ScoreFilter, "search_space", ef.filters.EnsembleFilter.search_space)
    with pytest.raises(ValueError, match=r"filter='sf': this filter has nothing to tune"):
        ef.tune(small, "sf")
    done = shell("tune", "lorenz96", "--filter", "sf", "--out", tmp_path)
    assert done.exit_code == 1
    assert "has nothing to tune" in done.output
    assert list(tmp_path.iterdir()) == []


def test_shell_without_optuna(shell, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = shell("tune", "lorenz96", "--filter", "lenff", "--out", tmp_path)
    assert done.exit_code == 1
    assert "pip install 'enfilt[tune]'" in done.output


def test_run_with_another_filter(shell, tmp_path):
    done = shell(
        *("run", "lorenz96", "--filter", "letkf", "--set", "cycles=3", "--set", "spinup=20"),
        *("--set", "filter.inflation=1.1", "--no-plot", "--out", tmp_path),
    )
    assert done.exit_code == 0, done.output
    assert ef.Result.load(tmp_path / "lorenz96.npz").info["filter"].startswith("LETKF(")
