"""Published experiments run again: the table, its verdict, and the memory asked for before."""

import dataclasses
import re

import numpy as np
import pytest
from click.testing import CliRunner

import enfilt as ef
from enfilt import presets
from enfilt.cli import main
from enfilt.experiments.preset import Published
from enfilt.experiments.presets import PRESETS
from enfilt.experiments.reproduce import HEADER, Row, markdown, reproduce


def row(measured, published, stopped=""):
    return Row("p", "F(a=1)", 5, 40, published, tuple(measured), 0.1, 1e-3, 2e-3, 3.0, stopped)


def test_the_verdict_is_of_the_median():
    figure = Published(rmse=0.2, low=0.18, high=0.22, last=10, source="somebody")
    assert row([0.19, 0.2, np.inf], figure).inside
    assert not row([0.19, np.inf, np.inf], figure).inside
    assert row([0.17], figure).verdict == "below"
    assert not row([0.17], figure).inside
    assert row([0.23], figure).verdict == "ABOVE"
    assert row([0.23], None).verdict == ""
    assert row([0.3], None).inside
    assert not row([np.inf], None, "at cycle 3, nan").inside


def test_markdown_is_a_table():
    figure = Published(rmse=0.2, low=0.18, high=0.22, last=10, source="somebody")
    text = markdown([row([0.19, 0.21], figure), row([0.3], figure)], seeds=2)
    head, _, *lines = text.splitlines()
    assert "2 seed(s)" in head
    assert all(line.count("|") == len(HEADER) + 1 for line in lines)
    assert "0.2 (0.19 to 0.21)" in lines[2]
    assert "| within |" in lines[2]
    assert "| ABOVE |" in lines[3]


def test_all_quick_presets_are_within_their_tolerance():
    """Every preset, small where it says that it may be, with one seed.

    But for one: the flow filter's error on ks-1024 is lower than published, as its file says. On
    lorenz63, where errors of single seeds scatter by 0.03, the median of three counts, as it does
    in a whole `enfilt reproduce`.
    """
    rows = reproduce([name for name in PRESETS if name != "lorenz63"], seeds=[0], quick=True)
    rows += reproduce(["lorenz63"], seeds=[0, 1, 2], quick=True)
    assert {row.preset for row in rows} == set(PRESETS)
    outside = {(row.preset, row.verdict, row.stopped) for row in rows if not row.inside}
    assert outside <= {("ks-1024", "below", "")}


def test_variants_are_run_with_their_own_members():
    runs = presets.get("lorenz96-40").runs()
    assert [(type(p.filter).__name__, p.members, f.rmse) for p, f in runs] == [
        ("ETKF", 24, 0.18),
        ("EnKF", 40, 0.22),
        ("LETKF", 7, 0.22),
    ]


def test_a_run_that_ends_early_has_lost(monkeypatch):
    class Exploding(ef.ETKF):
        def _update(self, cycle, out):
            out[...] = 1e200 * cycle.forecast

    figure = Published(rmse=0.2, low=0.0, high=1e300, last=2, source="somebody")
    broken = dataclasses.replace(
        presets.get("lorenz96").replace({"cycles": 3, "spinup": 10, "members": 4}),
        filter=Exploding(),
        published=figure,
    )
    monkeypatch.setitem(PRESETS, "lorenz96", broken)
    (found,) = reproduce(["lorenz96"], seeds=[0])
    assert found.measured == (np.inf,)
    assert "overflow" in found.stopped
    assert not found.inside


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return call


@pytest.mark.parametrize("inside", [True, False])
def test_shell(shell, tmp_path, monkeypatch, inside):
    small = presets.get("lorenz96").replace({"cycles": 3, "spinup": 10, "members": 4})
    figure = Published(0.2, 0.0, 100.0 if inside else 1e-9, 2, "somebody")
    monkeypatch.setitem(PRESETS, "lorenz96", dataclasses.replace(small, published=figure))
    done = shell("reproduce", "lorenz96", "--seeds", 2, "--out", tmp_path / "new")
    assert done.exit_code == (0 if inside else 1), done.output
    assert ("within" if inside else "ABOVE") in done.output
    text = (tmp_path / "new" / "reproduce.md").read_text()
    assert "`LEnFF(localization=FromEnsemble()" in text
    assert "| lorenz96 |" in text


def test_an_unknown_preset(shell, tmp_path):
    done = shell("reproduce", "lorenz69", "--out", tmp_path)
    assert done.exit_code == 1
    assert "did you mean 'lorenz96'" in done.output
    assert list(tmp_path.iterdir()) == []


# -- memory


def test_memory_is_that_of_the_ensembles():
    twin = presets.get("lorenz96-1m").twin
    ensemble = 20 * 1_000_000 * 4
    assert 3 * ensemble <= twin.memory(20) <= 5 * ensemble
    turning = ef.TwinExperiment(
        lambda x, steps: x,
        ef.Observation(ef.operators.Identity(), std=1.0),
        initial_state=np.zeros(1000),
    )
    assert turning.memory(10) >= 3 * 10 * 1000 * 8


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_refuses_what_does_not_fit(name, monkeypatch, shell, tmp_path):
    class Memory:
        available = 10

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    arguments = {
        "run": ["run", name],
        "compare": ["compare", name, "--filters", "enff"],
        "reproduce": ["reproduce", name],
    }
    for call in arguments.values():
        done = shell(*call, "--out", tmp_path)
        assert done.exit_code == 1
        error = [line for line in done.output.splitlines() if line.startswith("Error")]
        assert len(error) == 1
        assert re.search(r"needs about [\d.]+ GiB of memory, and 0.0 GiB are free", error[0])
    assert list(tmp_path.iterdir()) == []


def test_a_hundred_million_components_fit_into_8_gib():
    preset = presets.get("lorenz96-100m")
    assert (preset.twin.model.dim, preset.members, preset.twin.cycles) == (100_000_000, 2, 1)
    assert np.dtype(preset.twin.dtype) == np.float32
    assert preset.twin.memory(preset.members) <= 8 * 2**30
