"""The examples run, and so does the README's."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
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
