"""The shell commands."""

import dataclasses
import json
import logging
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
from click.testing import CliRunner

import enfilt as ef
from enfilt import cli, json_rows, presets, tables
from enfilt.cli import main
from enfilt.experiments import reproduce as reproduction

SMALL = ["--set", "cycles=3", "--set", "spinup=20", "--set", "members=4", "--set", "filter.steps=2"]


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # no line is broken

    def call(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return call


def names(directory):
    return sorted(p.name for p in directory.iterdir())


def test_run_writes_result_and_picture(shell, tmp_path):
    pytest.importorskip("matplotlib")
    near = ["--set", "initial_mean=truth"]
    done = shell("run", "lorenz96", *SMALL, *near, "--out", tmp_path / "new")
    assert done.exit_code == 0, done.output
    pictures = ["lorenz96-hovmoeller.png", "lorenz96-ranks.png", "lorenz96.png"]
    assert names(tmp_path / "new") == sorted(["lorenz96.npz", *pictures])
    for picture in pictures:
        assert (tmp_path / "new" / picture).read_bytes().startswith(b"\x89PNG")
    result = ef.Result.load(tmp_path / "new" / "lorenz96.npz")
    assert (result.cycles, result.info["members"], result.info["seed"]) == (3, 4, 0)
    assert "mean over the last 3 of 3 cycles" in done.output
    means = result.summary()
    for name in ("rmse", "spread", "crps", "energy_score"):
        for kind in ("forecast", "analysis"):
            assert tables.rounded(means[f"{name}.{kind}"]) in done.output
    assert "lost the truth" not in done.output
    # the flow filter beside it, on the same truth and observations
    beside = presets.get("lorenz96").replace({"cycles": 3, "spinup": 20, "members": 4})
    beside = beside.with_filter("enff").replace({"initial_mean": "truth"})
    flow = beside.twin.run(beside.filter, members=4, seed=0).summary()
    line = next(line for line in done.output.splitlines() if "enff" in line)
    assert tables.rounded(flow["rmse.analysis"]) in line
    assert f"cutoff {tables.rounded(result.facts['cutoff'].mean())}" in done.output
    assert "lorenz96.npz" in done.output
    assert "lorenz96.png" in done.output


def test_run_is_the_library(shell, tmp_path):
    done = shell("run", "lorenz96", *SMALL, "--seed", 5, "--no-plot", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert names(tmp_path) == ["lorenz96.npz"]
    preset = presets.get("lorenz96").replace(
        {"cycles": 3, "spinup": 20, "members": 4, "filter.steps": 2}
    )
    wanted = preset.twin.run(preset.filter, members=4, seed=5)
    found = ef.Result.load(tmp_path / "lorenz96.npz")
    np.testing.assert_array_equal(found.rmse.analysis, wanted.rmse.analysis)
    assert found.info == wanted.info


def test_a_run_is_taken_up_again(shell, tmp_path):
    given = ["run", "lorenz96", "--set", "spinup=20", "--no-plot", "--out", str(tmp_path)]
    short = [*given, "--set", "cycles=5", "--every", "2"]
    assert shell(*short).exit_code == 0
    checkpoint = tmp_path / "lorenz96.checkpoint"
    assert checkpoint.exists()
    assert shell(*given, "--set", "cycles=8", "--resume").exit_code == 0
    found = ef.Result.load(tmp_path / "lorenz96.npz")
    assert shell(*given, "--set", "cycles=8").exit_code == 0
    wanted = ef.Result.load(tmp_path / "lorenz96.npz")
    np.testing.assert_array_equal(found.rmse.analysis, wanted.rmse.analysis)
    assert found.seconds[:5].tolist() != wanted.seconds[:5].tolist()
    result = shell(*given, "--filter", "etkf", "--resume")
    assert result.exit_code == 1
    assert "is of filter=LEnFF" in result.output


def test_quiet(shell, tmp_path):
    done = shell("run", "lorenz96", *SMALL, "--quiet", "--no-plot", "--out", tmp_path)
    assert (done.exit_code, done.output) == (0, "")
    assert names(tmp_path) == ["lorenz96.npz"]
    done = shell("run", "lorenz96", "--set", "cycles=x", "--quiet", "--out", tmp_path)
    assert done.exit_code == 1
    assert "cycles='x'" in done.output


def test_a_line_of_each_cycle(shell, tmp_path, caplog):
    try:
        done = shell("run", "lorenz96", *SMALL, "--log", "--no-plot", "--out", tmp_path)
    finally:
        logging.getLogger("enfilt").setLevel(logging.NOTSET)
    assert done.exit_code == 0
    lines = [record.getMessage() for record in caplog.records]
    # the preset's filter, and the flow filter beside it
    assert [line.split(",")[0] for line in lines] == [f"cycle {k}" for k in range(3)] * 2
    found = ef.Result.load(tmp_path / "lorenz96.npz").rmse.analysis[1]
    assert f"time 0.1: rmse {found:.4g}, forecast" in lines[1]


def test_set_takes_operators(shell, tmp_path):
    done = shell(
        "run", "lorenz96", *SMALL, "--no-plot", "--out", tmp_path,
        "--set", "obs.operator=Arctan() @ Every(2)", "--set", " filter.inflation = RTPS(0.3) ",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    info = ef.Result.load(tmp_path / "lorenz96.npz").info
    assert info["operator"] == "Compose(outer=Arctan(), inner=Every(k=2, offset=0))"
    assert "RTPS(relaxation=0.3)" in info["filter"]


def test_the_files_go_here_by_default(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shell("run", "lorenz96", *SMALL, "--no-plot").exit_code == 0
    assert names(tmp_path) == ["lorenz96.npz"]


def test_without_matplotlib_there_is_a_hint(shell, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = shell("run", "lorenz96", *SMALL, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "no picture: " in done.output
    assert "pip install 'enfilt[plot]'" in done.output  # not eaten as markup
    assert names(tmp_path) == ["lorenz96.npz"]


def test_a_directory_in_brackets(shell, tmp_path):
    done = shell("run", "lorenz96", *SMALL, "--no-plot", "--out", tmp_path / "[bold]")
    assert done.exit_code == 0, done.output
    assert "[bold]/lorenz96.npz" in done.output
    assert names(tmp_path / "[bold]") == ["lorenz96.npz"]


def test_published_figure(shell, tmp_path, monkeypatch):
    small = presets.get("lorenz96").replace({"cycles": 3, "spinup": 20, "filter.steps": 2})
    figure = presets.Published(rmse=1.0, low=0.0, high=100.0, last=2, source="somebody")
    for high, word in ((100.0, "within"), (1e-9, "OUTSIDE")):
        judged = dataclasses.replace(small, published=dataclasses.replace(figure, high=high))
        monkeypatch.setitem(presets.PRESETS, "lorenz96", judged)
        done = shell("run", "lorenz96", "--no-plot", "--out", tmp_path)
        assert done.exit_code == 0, done.output
        assert "mean over the last 2 of 3 cycles" in done.output
        assert f"{word} 0 to {high:g}" in done.output
        changed = shell("run", "lorenz96", "--no-plot", "--out", tmp_path, "--set", "members=5")
        assert "published:" not in changed.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lorenz69"], "did you mean 'lorenz96'"),
        (["lorenz96", "--set", "filter.step=3"], "did you mean 'filter.steps'"),
        (["lorenz96", "--set", "memebrs=3"], "did you mean 'members'"),
        (["lorenz96", "--set", "filter.steps=0"], "steps=0"),
        (["lorenz96", "--set", "filter.steps=many"], "steps='many'"),
        (["lorenz96-partial", "--set", "filter.path=f2q"], "did you mean 'f2p'"),
        (["lorenz96", "--set", "filter.backend=nunpy"], "backend='nunpy'"),
        (["lorenz96", "--set", "obs.std=-1"], "std=-1"),
        (["lorenz96", "--set", "obs.operator=Arctn()"], "operator='Arctn()'"),
        (["lorenz96", "--set", "obs.operator=Every()"], "argument"),
        (["lorenz96", "--set", "model.dim=3"], "dim=3"),
        (["lorenz96", "--set", "model.dt=fast"], "dt='fast'"),
        (["lorenz96", "--set", "cycles=0"], "cycles=0"),
        (["lorenz96", "--set", "members=1", "--set", "spinup=0"], "members=1"),
        (["lorenz96", "--set", "members=few", "--set", "spinup=0"], "members='few'"),
        (["lorenz96", "--seed", "-1", "--set", "spinup=0"], "seed=-1"),
    ],
)
def test_mistakes_are_named(shell, tmp_path, arguments, message):
    done = shell("run", *arguments, "--out", tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ") or "\nError: " in done.output
    assert message in done.output
    assert "Traceback" not in done.output
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["lorenz96", "--set", "cycles"],
        ["lorenz96", "--seed", "first"],
        ["lorenz96", "--unknown"],
    ],
)
def test_wrong_usage(shell, arguments):
    done = shell("run", *arguments)
    assert done.exit_code == 2
    assert "Usage:" in done.output


def test_out_must_be_a_directory(shell, tmp_path):
    (tmp_path / "file").touch()
    done = shell("run", "lorenz96", *SMALL, "--out", tmp_path / "file")
    assert done.exit_code == 2
    assert "is a file" in done.output


def test_settings(shell, tmp_path, monkeypatch):
    monkeypatch.setattr(ef.TwinExperiment, "run", None)  # nothing is run
    done = shell("run", "lorenz96", "--settings", "--set", "filter.steps=7", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    lines = [line.replace("│", " ").split() for line in done.output.splitlines()]
    assert ["filter.steps", "7"] in lines
    assert ["members", "20"] in lines
    assert ["obs.operator", "Arctan()"] in lines
    for name in presets.get("lorenz96").settings():
        assert any(line[:1] == [name] for line in lines), name
    assert names(tmp_path) == []


def test_list(shell):
    done = shell("list")
    assert done.exit_code == 0
    for name, preset in presets.PRESETS.items():
        assert name in done.output
        assert preset.title in done.output
    assert "0.1725" in done.output


def test_info(shell):
    done = shell("info")
    assert done.exit_code == 0
    for name, value in ef.config().items():
        assert name in done.output
        if len(str(value)) < 100:
            assert str(value) in done.output
    assert ef.__version__ in done.output


TABLES = {
    "list": [],
    "info": [],
    "run": ["lorenz96", *SMALL, "--no-plot"],
    "compare": ["lorenz96", "--filters", "enff,etkf", *SMALL[:-2], "--no-plot"],
}


@pytest.mark.parametrize("command", TABLES)
def test_what_a_table_shows_as_json(command, shell, tmp_path):
    """To a file beside the table, or alone to standard output."""
    folder = [] if command in ("list", "info") else ["--out", tmp_path]
    arguments = [command, *TABLES[command], *folder, "--json"]
    done = shell(*arguments, tmp_path / "rows.json")
    assert done.exit_code == 0, done.output
    assert "wrote" in done.output
    alone = shell(*arguments, "-")
    assert alone.exit_code == 0, alone.output
    rows, again = json.loads((tmp_path / "rows.json").read_text()), json.loads(alone.stdout)
    if command == "list":
        assert rows == again
        assert [row["preset"] for row in rows] == list(presets.PRESETS)
    elif command == "info":
        assert rows == again
        assert rows["enfilt"] == ef.__version__
    elif command == "run":
        expected = ef.Result.load(tmp_path / "lorenz96.npz").summary(last=rows["averaged"])
        assert rows["scores"]["rmse.analysis"] == again["scores"]["rmse.analysis"]
        assert rows["scores"]["rmse.analysis"] == expected["rmse.analysis"]
        assert list(rows["beside"]) == ["enff"]
    else:
        assert [row["name"] for row in rows] == [row["name"] for row in again]
        assert {row["name"] for row in rows} == {"enff", "etkf"}
        assert rows[0]["mean"]["rmse.analysis"] == again[0]["mean"]["rmse.analysis"]
        assert rows[0]["deviation"]["rmse.analysis"] is None  # of one run there is none


def test_json_has_no_nan(tmp_path):
    content = {"a": np.array([1.0, np.nan]), "b": (np.float32(0.5), -np.inf, None, True), "c": "x"}
    json_rows.write(content, tmp_path / "rows.json")
    found = json.loads((tmp_path / "rows.json").read_text())
    assert found == {"a": [1.0, None], "b": [0.5, None, None, True], "c": "x"}


def test_a_reproduction_at_80_columns_cuts_no_name(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    row = reproduction.Row(
        preset="lorenz96-two-scale", filter="BootstrapPF(jitter=1.0)", dim=396, members=20,
        published=presets.PRESETS["lorenz63"].published, measured=(0.50117,), spread=0.5,
        forecast_seconds=0.0123, analysis_seconds=0.0123, seconds=1.0, stopped="",
    )  # fmt: skip
    monkeypatch.setattr(cli.reproduction, "reproduce", lambda *_, **__: [row])
    done = CliRunner().invoke(main, ["reproduce", "--out", str(tmp_path)])
    assert "lorenz96-two-scale" in done.output
    assert "BootstrapPF" in done.output
    assert "0.5012" in done.output


def test_help_and_version(shell):
    for arguments in (["--help"], ["-h"], ["run", "--help"], ["list", "-h"]):
        done = shell(*arguments)
        assert done.exit_code == 0
        assert "Usage:" in done.output
    assert ef.__version__ in shell("--version").output
    assert shell("nothing").exit_code == 2


@pytest.fixture
def ending(monkeypatch):
    """Lets the model of the preset end the run at a call, once a spin-up is over."""

    def arrange(after, act):
        advance = ef.models.Lorenz96._advance  # `step` looks at what it has written
        calls = []

        def ended(self, rows, steps, out):
            calls.append(steps)
            advance(self, rows, steps, out)
            if len(calls) > after:
                act(out)

        monkeypatch.setattr(ef.models.Lorenz96, "_advance", ended)

    return arrange


def interrupt(_):
    raise KeyboardInterrupt


def spoil(x):
    x[0, 0] = np.nan


def test_interrupted(shell, tmp_path, ending):
    ending(3, interrupt)
    done = shell("run", "lorenz96", *SMALL, "--no-plot", "--out", tmp_path)
    assert done.exit_code == 130
    assert "stopped after 2 cycles" in done.output
    assert "mean over the last 2 of 2 cycles" in done.output
    result = ef.Result.load(tmp_path / "lorenz96.npz")
    assert (result.cycles, result.stopped) == (2, "interrupted")


def test_diverged(shell, tmp_path, ending):
    ending(2, spoil)
    with pytest.warns(RuntimeWarning, match="the run ends"):
        done = shell("run", "lorenz96", *SMALL, "--no-plot", "--out", tmp_path)
    assert done.exit_code == 1
    assert "stopped after 1 cycles: at cycle 1, forecast[0, 0] is nan" in done.output
    assert names(tmp_path) == ["lorenz96.npz"]


def test_a_run_that_lost_the_truth_says_so(shell, tmp_path, monkeypatch):
    monkeypatch.setattr(ef.Result, "climate", lambda self, last=None: 0.012345)
    done = shell("run", "lorenz96", *SMALL, "--no-plot", "--out", tmp_path)
    assert done.exit_code == 0
    assert (
        "lost the truth: its RMSE is not below 0.9 of 0.0123, the truth's standard" in done.output
    )


def test_nothing_completed(shell, tmp_path, ending):
    ending(0, interrupt)
    done = shell("run", "lorenz96", *SMALL, "--out", tmp_path)
    assert done.exit_code == 1
    assert "no cycle was completed: interrupted" in done.output
    assert names(tmp_path) == []


def test_the_command_is_installed():
    (script,) = entry_points(group="console_scripts", name="enfilt")
    assert script.load() is cli.main
