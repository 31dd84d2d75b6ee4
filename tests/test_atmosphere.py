"""The atmosphere of the examples, in its small form: a stand-in in place of SPEEDY."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import enfilt as ef

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "atmosphere.py"


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    """What the example has when it is done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(EXAMPLE)])
        patch.syspath_prepend(EXAMPLE.parent)
        return runpy.run_path(str(EXAMPLE))


def test_filters_are_better_than_the_free_run(run: dict[str, Any]) -> None:
    free, *filters = (np.array(of) for of in run["rmse"].values())
    observed = np.r_[0:24, 28:33]  # of humidity the lower half
    for rmse in filters:
        assert (rmse / free)[observed].mean() < 0.97
        assert np.isfinite(rmse).all()


def test_increments_go_into_the_waves(run: dict[str, Any]) -> None:
    """What the model runs on from is the analysis, and without one the forecast to the last bit."""
    members = run["Members"](run["model"], run["states"])
    forecast = members.fields.copy()
    analysis = forecast + np.float32(0.1) * (forecast - forecast.mean(axis=0))
    stepped = members(analysis, 0, 1, None)
    expected = [run["model"].step(np.fft.rfft(x.reshape(33, 14, 25))) for x in analysis]
    of_the_analysis = np.stack([run["model"].grid(x) for x in expected])
    np.testing.assert_allclose(stepped, of_the_analysis, atol=2e-4)
    free = run["Members"](run["model"], run["states"])(forecast, 0, 1, None)
    once = np.stack([run["model"].grid(run["model"].step(x)) for x in run["states"]])
    assert np.array_equal(free, once)


def test_a_run_is_taken_up_again(run: dict[str, Any], tmp_path: Path) -> None:
    def result(windows: Any, path: Path) -> np.ndarray:
        members = run["Members"](run["model"], run["states"])
        assimilation = ef.Assimilation(members, windows)
        options = {"ensemble": members.fields, "seed": 0, "checkpoint": path, "resume": True}
        return assimilation.run(run["letkf"], **options).ensemble

    whole = result(run["windows"], tmp_path / "whole")
    result(run["windows"][:2], tmp_path / "halves")
    assert np.array_equal(result(run["windows"], tmp_path / "halves"), whole)


def test_the_picture(run: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw = runpy.run_path(str(ROOT / "docs" / "pictures" / "atmosphere.py"))["draw"]
    draw(run, tmp_path / "errors.png")
    assert (tmp_path / "errors.png").stat().st_size > 10_000


def test_the_page_shows_the_example() -> None:
    page, script = (ROOT / "docs" / "atmosphere.md").read_text(), EXAMPLE.read_text()
    members = script[script.index("class Members") : script.index("\n\n\nif ")]
    assert f"```python\n{members}\n```" in page
    assert len(script.splitlines()) <= 80
