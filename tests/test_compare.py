"""Comparisons: the same truth and observations for all, the table, the shell."""

import io
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import enfilt as ef
from enfilt import presets, tables
from enfilt.cli import main
from enfilt.experiments import compare as comparison
from enfilt.filters import FILTERS, registry

SMALL = {"cycles": 4, "spinup": 20, "members": 5}


@pytest.fixture
def small():
    return presets.get("lorenz96").replace(SMALL)


class Recorder(ef.ETKF):
    """Keeps the observations and forecasts that it is given."""

    def _update(self, cycle, out):
        self.given.append((cycle.y.copy(), cycle.forecast.copy()))
        super()._update(cycle, out)


def test_filters_see_the_same_observations_and_start(small):
    filters = {}
    for name in ("a", "b"):
        filters[name] = Recorder(inflation=1.0 if name == "a" else 1.2)
        object.__setattr__(filters[name], "given", [])
    comparison.compare(small, filters, [3])
    for (y, _), (again, _) in zip(filters["a"].given, filters["b"].given, strict=True):
        np.testing.assert_array_equal(y, again)
    first, second = filters["a"].given[0][1], filters["b"].given[0][1]
    np.testing.assert_array_equal(first, second)


def test_a_run_is_the_twin_experiments(small):
    runs = comparison.compare(small, {"enff": small.filter}, [0, 4])
    assert [(run.name, run.seed, run.cycles, run.stopped) for run in runs] == [
        ("enff", 0, 4, ""),
        ("enff", 4, 4, ""),
    ]
    result = small.twin.run(small.filter, members=5, seed=4)
    wanted = result.summary(last=4)
    timed = {"seconds", "seconds_forecast"}
    assert {k: v for k, v in runs[1].means.items() if k not in timed} == {
        k: v for k, v in wanted.items() if k not in timed
    }


FIVE = ["enff", "lenff", "letkf", "etkf", "ssls"]


def run(name, seed, value, lost=False):
    means = dict.fromkeys(comparison.COLUMNS, value)
    return comparison.Run(name, seed, means, 9, "", f"{name}()", lost)


def test_rows_are_means_over_the_seeds_that_track():
    first, second, third = comparison.rows(
        [
            run("a", 0, 1.0),
            run("a", 1, 4.0),
            run("a", 2, 9.0, lost=True),
            run("b", 0, 2.0),
            run("c", 0, np.nan, lost=True),
        ]
    )
    assert (first.name, first.runs, first.lost, first.filter) == ("a", 3, 1, "a()")
    assert first.mean["rmse.analysis"] == 2.5
    assert first.deviation["seconds"] == pytest.approx(np.std([1, 4], ddof=1))
    assert (second.name, second.runs, second.lost) == ("b", 1, 0)
    assert np.isnan(second.deviation["rmse.analysis"])
    assert third.lost == third.runs == 1
    assert np.isnan(third.mean["rmse.analysis"])


@pytest.mark.parametrize(
    ("value", "deviation", "wanted"),
    [
        (0.046647, 0.00143, "0.047 ± 0.001"),  # the issue's own
        (0.046647, 0.00096, "0.047 ± 0.001"),
        (0.0999, 0.0004, "0.0999 ± 0.0004"),
        (2.101, 2.9, "2 ± 3"),
        (9.7, 9.6, "10 ± 10"),
        (13.16, 18.2, "10 ± 20"),
        (5.0, 0.0, "5.000 ± 0.000"),
        (0.0, 0.1, "0.0 ± 0.1"),
        (0.123456, 1e-9, "0.1235 ± 0.0001"),
        (0.046647, np.nan, "0.0466"),
        (0.9996, np.nan, "1.00"),
        (9.61, np.nan, "9.61"),
        (2071.3, np.nan, "2071"),
        (np.nan, np.nan, "nan"),
    ],
)
def test_digits(value, deviation, wanted):
    assert tables.rounded(value, deviation) == wanted


@pytest.mark.parametrize("seeds", [1, 12])
def test_no_line_of_the_table_is_broken(small, seeds):
    """In a hundred characters, whatever the figures; options wrap within their column."""
    options = {name: filt.describe() for name, filt in small.filters(FIVE).items()}
    runs = [
        comparison.Run(name, seed, means, 9, "", options[name], name == "etkf" or seed > 9)
        for name in FIVE
        for seed in range(seeds)
        if (means := dict.fromkeys(comparison.COLUMNS, 0.012341 + 1e-5 * seed))
    ]
    out = io.StringIO()
    tables.print_comparison(Console(file=out, width=100), small, comparison.rows(runs))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(len, lines)) <= 100
    head = next(k for k, line in enumerate(lines) if line.startswith("filter "))
    table, below = [line.split() for line in lines[head + 1 : head + 6]], lines[head + 6 :]
    assert [line[0] for line in table] == FIVE
    assert table[3] == ["etkf", *"-----", str(seeds), "of", str(seeds)]
    if seeds > 1:
        assert table[0] == [
            "enff", *(3 * ["0.01239", "±", "0.00003"]), "0.01239", "12.39", "2", "of", "12"
        ]  # fmt: skip
    else:
        assert table[0] == ["enff", *(4 * ["0.0123"]), "12.3", "0", "of", "1"]
    assert any(line.startswith("±: standard deviation") for line in below) == (seeds > 1)
    assert any(line.startswith("lost, and not in the means: ") for line in below)
    text = " ".join(" ".join(below).split())
    assert all(f"{name} {option}" in text for name, option in options.items())


class Asleep(ef.ETKF):
    """Takes no notice of observations."""

    def _update(self, cycle, out):
        out[...] = cycle.forecast


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_that_does_not_track_is_lost_but_kept(small, seed):
    preset = small.replace({"cycles": 150, "members": 20})
    filters = {"asleep": Asleep(), "awake": small.rivals["letkf"], "sure": ef.ETKF()}
    asleep, awake, sure = comparison.compare(preset, filters, [seed])
    assert [run.lost for run in (asleep, awake, sure)] == [True, False, True]
    assert asleep.stopped == sure.stopped == ""
    line = json.loads(asleep.line("x", 5))
    assert line["lost"] is True
    assert line["rmse.analysis"] > 3
    assert [row.lost for row in comparison.rows([asleep, awake, sure])] == [1, 0, 1]


def test_a_filter_that_loses_the_state_does_not_end_the_comparison(small):
    class Exploding(ef.ETKF):
        def _update(self, cycle, out):
            out[...] = 1e200 * cycle.forecast

    exploding, kept = comparison.compare(small, {"bad": Exploding(), "good": small.filter})
    assert "overflow" in exploding.stopped
    assert exploding.lost
    assert np.isnan(exploding.means["rmse.analysis"])
    assert not kept.stopped


def test_a_filter_that_fails_in_its_algebra_ends_its_run(small):
    class Singular(ef.ETKF):
        def _update(self, cycle, out):
            np.linalg.inv(np.zeros((2, 2)))

    (run,) = comparison.compare(small, {"singular": Singular()})
    assert run.stopped.startswith("at cycle 0, Singular fails in float64: ")


def test_ctrl_c_keeps_what_is_done(small):
    class Interrupted(ef.ETKF):
        def _update(self, cycle, out):
            raise KeyboardInterrupt

    runs = comparison.compare(small, {"a": small.filter, "b": Interrupted(), "c": small.filter})
    assert [run.name for run in runs] == ["a"]


def test_errors(small):
    with pytest.raises(ValueError, match="filters and seeds: expected at least one"):
        comparison.compare(small, {})
    with pytest.raises(ValueError, match="filters and seeds: expected at least one"):
        comparison.compare(small, {"enff": small.filter}, [])
    with pytest.raises(ValueError, match="seeds=-1"):
        comparison.compare(small, {"enff": small.filter}, [-1])
    with pytest.raises(ValueError, match=r"endpoint: mode='endpoint' needs a linear operator"):
        comparison.compare(small, {"endpoint": ef.MASF()})


def test_a_rival_is_tuned_where_the_preset_says(small):
    found = small.filters(["enff", "letkf", "ienkf"])
    assert found["enff"] is small.rivals["enff"]
    assert small.filters(["lenff"])["lenff"] is small.filter
    assert found["letkf"] is small.rivals["letkf"]
    assert found["ienkf"] == ef.IEnKF(small.twin.model, small.twin.steps_per_cycle)
    with pytest.raises(ValueError, match=r"filter='lektf' is not known.*did you mean 'letkf'"):
        small.filters(["lektf"])


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_filter_runs_on_every_preset(name):
    """With what the preset or the filter itself chooses; three cycles of eight members, small."""
    preset = presets.get(name)
    wanted = {"cycles": 3, "spinup": 20, "members": 8}
    wanted |= {"model.dim": 80, "model.domain": 32.0, "model.n": 16}
    preset = preset.replace({k: v for k, v in wanted.items() if k in preset.settings()})
    # those that run it again take the model for perfect
    rerun = {"ienkf", "ienks", "ilenff"} if preset.twin.model.model_noise else set()
    names = [n for n in FILTERS if n not in rerun]
    runs = comparison.compare(preset, preset.filters(names), [0])
    assert [run.name for run in runs] == names
    # far from its settings a filter may lose the state, but it does not fail
    assert all(not run.stopped or "expected finite" in run.stopped for run in runs)


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return call


ARGUMENTS = [f"--set={key}={value}" for key, value in SMALL.items()]


def test_shell(shell, tmp_path):
    done = shell(
        *("compare", "lorenz96", "--filters", "enff, letkf", *ARGUMENTS),
        *("--set", "letkf.inflation=1.2", "--set", "initial_mean=truth"),
        *("--seeds", 2, "--out", tmp_path / "new"),
    )
    assert done.exit_code == 0, done.output
    assert "N = 5, 2 seeds, last 4 of 4 cycles" in done.output
    lines = [
        json.loads(line)
        for line in (tmp_path / "new" / "lorenz96-compare.jsonl").read_text().splitlines()
    ]
    assert [(line["filter"], line["seed"]) for line in lines] == [
        ("enff", 0),
        ("enff", 1),
        ("letkf", 0),
        ("letkf", 1),
    ]
    assert all(line["preset"] == "lorenz96" and line["members"] == 5 for line in lines)
    assert "inflation=1.2" in lines[2]["options"]
    assert all(line["rmse.analysis"] > 0 and line["seconds"] > 0 for line in lines)
    assert not any(line["lost"] for line in lines[2:])
    errors = [line["rmse.analysis"] for line in lines[2:]]
    assert tables.rounded(np.mean(errors), np.std(errors, ddof=1)) in done.output
    assert "letkf  LETKF(" in done.output
    picture = tmp_path / "new" / "lorenz96-compare.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filters", "enff,efn"], "filter='efn' is not known.*did you mean"),
        (["--filters", ","], "expected at least one of each"),
        (["--filters", "enff", "--set", "letkf.inflation=1"], "letkf is not among --filters enff"),
        (["--filters", "letkf", "--set", "letkf.inflaton=1"], "did you mean 'inflation'"),
        (["--filters", "enff", "--set", "member=3"], "did you mean 'members'"),
        (["--filters", "enff", "--set", "enff.steps=0"], "steps=0"),
    ],
)
def test_bad_arguments(shell, tmp_path, arguments, message):
    done = shell("compare", "lorenz96", *arguments, "--out", tmp_path)
    assert done.exit_code == 1
    assert re.search(message, done.output), done.output
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(shell, tmp_path):
    (tmp_path / "file").touch()
    done = shell("compare", "lorenz96", "--filters", "enff", "--out", tmp_path / "file" / "x")
    assert done.exit_code == 2
    assert "--out" in done.output


# ---- a problem and filters of one's own


def test_a_twin_and_filters_of_ones_own(small):
    filters = {"mine": ef.ETKF(inflation=1.1), "other": ef.LEnFF(steps=2)}
    runs = ef.compare(small.twin, filters, seeds=[3], members=small.members)
    wanted = comparison.compare(small, filters, seeds=[3])
    for one, other in zip(runs, wanted, strict=True):
        assert (one.name, one.lost) == (other.name, other.lost)
        assert one.means["rmse.analysis"] == other.means["rmse.analysis"]
    with pytest.raises(TypeError, match="problem=3: expected a preset, its name, or a Twin"):
        ef.compare(3, filters)
    with pytest.raises(ValueError, match="members=1"):
        ef.compare("lorenz96", filters, members=1)


class Point:
    """An entry point, as an installed package has one."""

    dist = None

    def __init__(self, name, load):
        self.name, self.load = name, load


def missing():
    raise ImportError("No module named 'theirs'")


@pytest.fixture
def installed(monkeypatch):
    points = [
        Point("theirs", lambda: Theirs),
        Point("absent", missing),
        Point("number", lambda: 3),
        Point("etkf", lambda: Theirs),  # ours come first
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    registry._others.cache_clear()
    yield
    registry._others.cache_clear()


class Theirs(ef.ETKF):
    """A filter of another package."""


def test_filters_of_other_packages_are_found_by_name(small, installed):
    assert registry.names()[-3:] == ["theirs", "absent", "number"]
    chosen = small.filters(["theirs", "etkf"])
    assert type(chosen["theirs"]) is Theirs
    assert type(chosen["etkf"]) is ef.ETKF
    with pytest.raises(ImportError, match="filter='absent' of a package can't be imported: No mod"):
        small.filters(["absent"])
    with pytest.raises(TypeError, match="filter='number' of a package is 3: expected a subclass"):
        small.filters(["number"])
    with pytest.raises(ValueError, match=r"filter='their' is not known.*did you mean 'theirs'"):
        small.filters(["their"])
