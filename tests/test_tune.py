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
from enfilt._written import written
from enfilt.cli import main
from enfilt.experiments import settings
from enfilt.experiments.tuning import Trial, Tuning
from enfilt.filters import FILTERS
from enfilt.filters.knobs import rounded
from enfilt.inflation import RTPS, Adaptive
from enfilt.localization import FromEnsemble, GaspariCohn

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
    worst = preset.twin.run(
        ef.LEnFF(GaspariCohn(2.0), inflation=RTPS(0.9)), members=preset.members, seed=0
    )
    assert found.best.rmse < 0.25 * worst.summary(last=30)["rmse.analysis"]
    assert found.best.rmse <= found.trials[0].rmse
    cutoffs = [v for t in found.trials[2:] if t.rmse < 0.2 for v in (t.values["localization"],)]
    assert any(v == "FromEnsemble" or 5 < v <= 20 for v in cutoffs)  # known from the league
    again = preset.twin.run(found.filter, members=preset.members, seed=0)
    assert again.summary(last=30)["rmse.analysis"] == found.best.rmse


def test_the_first_trials_are_the_usual_setting_and_what_needs_no_number(small, tmp_path):
    found = ef.tune(small, "letkf", trials=12)
    usual, untuned = (trial.values for trial in found.trials[:2])
    assert usual == {"localization": 14.0, "inflation": 0.3}
    assert found.at(usual) == ef.LETKF(GaspariCohn(14.0), inflation=RTPS(0.3))
    assert untuned == {"localization": "FromEnsemble", "inflation": "Adaptive"}
    assert found.at(untuned) == ef.LETKF(FromEnsemble(), inflation=Adaptive())
    # each option is drawn both ways, and beside either way of the other
    kinds = {tuple(isinstance(v, str) for v in t.values.values()) for t in found.trials[2:]}
    assert len(kinds) > 2
    for trial in found.trials[2:]:
        cutoff = trial.values["localization"]
        assert cutoff == "FromEnsemble" or 2 <= cutoff <= 20
    pytest.importorskip("matplotlib")
    names = [path.name for path in found.write(tmp_path)]
    assert names[-1] == "lorenz96-letkf-tune.png"
    report = (tmp_path / names[1]).read_text()
    assert "| FromEnsemble | Adaptive |" in report
    axis = found.plot().axes[0]
    assert {text.get_text() for text in axis.texts} == {"FromEnsemble", "Adaptive"}
    # what is found without a number runs again from the shell's settings
    best = min(found.trials, key=lambda t: t is not found.trials[1])
    only = Tuning(small, "letkf", found.start, found.knobs, (0,), [best])
    changes = {k: settings.parse_value(v) for k, v in only.settings.items()}
    assert small.with_filter("letkf").replace(changes).filter == only.filter


def test_filters_with_one_such_option(small):
    """Not localized, and drawn from the ETKF's one number: as before."""
    assert ef.tune(small, "etkf", trials=3).trials[1].values["inflation"] > 1
    values = [t.values for t in ef.tune(small, "enkf", trials=3).trials]
    assert values[1] == {"localization": "FromEnsemble", "inflation": "Adaptive"}


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


def test_a_search_interrupted_anywhere_finds_the_same(small, tmp_path):
    """Also where a setting without a number was drawn again, and something else in its place."""

    class Interrupted(ef.LEnFF):
        calls, at = 0, -1

        def _update(self, cycle, out):
            Interrupted.calls += 1
            if Interrupted.calls == Interrupted.at:
                raise KeyboardInterrupt
            super()._update(cycle, out)

    whole = ef.tune(small, Interrupted(), trials=9, seeds=[0], folder=tmp_path / "whole")
    log = (tmp_path / "whole" / "lorenz96-interrupted-tune.log").read_text()
    assert '"again":true' in log
    for trial in range(9):
        folder = tmp_path / str(trial)
        Interrupted.calls, Interrupted.at = 0, 12 * trial + 5
        done = ef.tune(small, Interrupted(), trials=9, seeds=[0], folder=folder).trials
        assert len(done) == trial
        again = ef.tune(small, Interrupted(), trials=9, seeds=[0], folder=folder)
        assert again.trials == whole.trials


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
            if getattr(self.inflation, "relaxation", 0) > 0.3:
                out *= 1e200

    found = ef.tune(small, Exploding(GaspariCohn(5.0)), trials=12)
    drawn = [t.values["inflation"] for t in found.trials]
    bad = [value != "Adaptive" and value > 0.3 for value in drawn]
    assert [math.isinf(t.rmse) for t in found.trials] == bad
    assert any(bad)
    assert not bad[found.trials.index(found.best)]


def test_the_error_is_the_mean_over_seeds(small):
    found = ef.tune(small, "etkf", trials=1, seeds=[2, 5])
    errors = [
        small.twin.run(found.filter, members=8, seed=s).summary(last=6)["rmse.analysis"]
        for s in (2, 5)
    ]
    assert found.best.rmse == pytest.approx(np.mean(errors), rel=1e-12)


@pytest.mark.parametrize("preset", ["lorenz96-partial", "lorenz96-two-scale", "kolmogorov-128"])
@pytest.mark.parametrize("name", FILTERS)
def test_every_knob_makes_a_filter(preset, name):
    problem = presets.get(preset)
    start = problem.filters([name])[name]
    knobs = start.search_space(problem.twin.model, problem.twin.obs)
    for knob in knobs.values():
        assert knob.low <= knob.usual <= knob.high
    found = Tuning(problem, name, start, knobs, (0,), [])
    ends = [{k: getattr(v, end) for k, v in knobs.items()} for end in ("low", "usual", "high")]
    ends.append({k: next(iter(v.others), v.usual) for k, v in knobs.items()})
    for values in ends:
        assert type(found.at(values)) is type(start)


def test_the_best_is_written_as_it_is_read(small):
    start = ef.MASF(mode="published", prior=ef.priors.GaussianPrior(GaspariCohn(3.0)))
    knobs = start.search_space(small.twin.model, small.twin.obs)
    values = {"prior": 7.25, "inflation": 0.4}
    found = Tuning(small, "masf", start, knobs, (0,), [Trial(values, 1.0)])
    assert eval(found.expression, {"ef": ef}) == found.filter
    base = presets.get("lorenz96").with_filter("masf")
    changes = {k: settings.parse_value(v) for k, v in found.settings.items()}
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


def test_a_twin_of_ones_own_is_tuned(small):
    found = ef.tune(small.twin, ef.ETKF(), members=8, trials=2, seeds=[0])
    assert (found.preset.name, found.preset.members) == ("twin", 8)
    assert list(found.knobs) == ["inflation"]
