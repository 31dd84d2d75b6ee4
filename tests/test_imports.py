"""Nothing is imported that is not used: what an import and a first analysis bring along."""

import json
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

import enfilt
from enfilt import backends

#: Slow to import, or no dependency of the base install.
HEAVY = {
    *("numba", "llvmlite", "scipy", "torch", "optuna", "matplotlib", "xarray", "pandas", "h5py"),
    *("click", "rich", "tqdm", "psutil", "asyncio", "concurrent", "email"),
}
ANALYSES = """
import numpy as np, enfilt as ef
x = np.random.default_rng(0).standard_normal((5, 12))
obs = ef.Observation(ef.operators.Arctan(), std=0.5, grid=ef.grids.RegularGrid((12,)))
taper = ef.localization.GaspariCohn(3.0)
for filt in (ef.EnFF(), ef.EnSF(steps=3), ef.ETKF(), ef.LETKF(taper), ef.LEnFF(taper)):
    filt.analysis(x, np.zeros(12), obs, previous=x)
"""


def loaded(code):
    """Return the top-level packages, and the modules of ours, that a fresh process has after it."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules = json.loads(done.stdout)
    return {name.split(".")[0] for name in modules}, {n for n in modules if "enfilt" in n}


def test_an_import_brings_nothing_heavy():
    packages, ours = loaded("import enfilt; enfilt.Observation, enfilt.EnFF, enfilt.models")
    assert not packages & HEAVY
    assert not {"enfilt.experiments.presets", "enfilt.experiments.twin", "enfilt._core"} & ours


@pytest.mark.skipif(backends.available()[0] != "cpp", reason="Numba is the best backend here")
def test_a_first_analysis_brings_the_backend_that_it_runs_on():
    packages, ours = loaded(ANALYSES)
    assert not packages & HEAVY
    assert "enfilt._core" in ours
    assert "enfilt.backends.numba.backend" not in ours


def test_public_names_are_there_all_the_same():
    names = loaded(
        "from enfilt import *; import enfilt\n"
        "assert set(enfilt.__all__) <= set(dir(enfilt)) & set(globals())"
    )
    assert names
    assert enfilt.filters.EnFF is enfilt.EnFF
    with pytest.raises(AttributeError, match="module 'enfilt' has no attribute 'EnF'"):
        enfilt.EnF  # noqa: B018


@pytest.mark.parametrize("broken", [True, False])
def test_a_core_that_cannot_be_loaded_warns_once_and_one_that_is_absent_never(tmp_path, broken):
    if broken:  # no library at all: what a missing libgomp or another processor's file is like
        (tmp_path / f"_core{EXTENSION_SUFFIXES[0]}").write_text("not a library")
    absent = "import sys; sys.modules['enfilt._core'] = None"
    code = (
        "import enfilt as ef, warnings\n"
        f"ef.__path__.insert(0, {str(tmp_path)!r})\n"
        f"{'' if broken else absent}\n"
        "with warnings.catch_warnings(record=True, action='always') as seen:\n"
        "    assert [ef.backends.get().name for _ in range(2)] == ['numba'] * 2\n"
        "print(*(f'{w.category.__name__}: {w.message}' for w in seen), sep='\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    said = done.stdout.split("\n")
    if broken:
        assert len(said) == 2
        assert said[0].startswith(
            "RuntimeWarning: enfilt's compiled core is installed but can't be"
        )
        assert "_core" in said[0]
    else:
        assert said == ["", ""]
