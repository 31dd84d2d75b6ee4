"""The examples run, and so does the README's."""

import importlib
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import enfilt as ef

ROOT = Path(__file__).resolve().parents[1]


SCRIPTS = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.stem != "atmosphere"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)  # the other: test_atmosphere.py
def test_example_prints_finite_errors(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(path), run_name="__main__")
    figures = [float(x) for x in re.findall(r"\d+\.\d+", capsys.readouterr().out)]
    assert len(figures) >= 3
    assert np.isfinite(figures).all()


@pytest.mark.parametrize("page", ["smoothers.md", "state.md", "tables.md"])
def test_the_examples_of_a_page(page: str) -> None:
    """One after the other, as a reader would; what they show is asserted there."""
    pytest.importorskip("xarray")
    names: dict[str, object] = {}
    scripts = {path.read_text() for path in (ROOT / "examples").glob("*.py")}  # run above
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S):
        if code in scripts:
            continue
        exec(compile(code, page, "exec"), names)


def test_the_script_of_a_page_is_the_example() -> None:
    script = (ROOT / "examples" / "gcm_like.py").read_text()
    assert f"```python\n{script}```" in (ROOT / "docs" / "tables.md").read_text()
    assert len(script.splitlines()) <= 40


def test_the_readmes_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(
        r"```python\n(import enfilt.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    exec(compile(code.replace("100_000", "1_000"), "README.md", "exec"), {})
    assert np.isfinite(float(capsys.readouterr().out))
    assert (tmp_path / "result.npz").exists()


def test_a_catchment_is_forecast_better_than_by_persistence(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # the small form
    discharge = importlib.import_module("discharge")
    filters = {"open": None, "etkf": discharge.positive(ef.ETKF(rotate=True))}
    scores = discharge.main(filters, str(tmp_path / "flow.png"), seeds=[3])
    assert scores["etkf"][0] < 0.8 * min(scores["persistence"][0], scores["open"][0])
    assert (tmp_path / "flow.png").stat().st_size > 10_000


def test_the_water_of_a_catchment_is_all_there(monkeypatch):
    """Rain is what evaporates, flows off, and stays."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    discharge = importlib.import_module("discharge")
    rng = np.random.default_rng(0)
    rain, dry = rng.exponential(20.0, 40), np.zeros(40)
    model, x = discharge.Hymod(rain, dry, noise=0), discharge.first(8, rng)
    x[:, 0], x[:, 10] = 0.5 * x[:, 5] / (1 + x[:, 6]), 0.0
    before, off = x[:, :5].sum(axis=1), np.zeros(8)
    for day in range(1, 40):
        x = model(x, day - 1, day, rng)
        off += discharge.discharge(x)[:, 0] / discharge.LITRES
    np.testing.assert_allclose(before + rain[1:].sum(), x[:, :5].sum(axis=1) + off, rtol=1e-6)
