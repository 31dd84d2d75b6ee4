"""The examples in docstrings are run as they stand."""

import doctest
import importlib
import pkgutil

import pytest

import enfilt

OPTIONAL = {
    *("numba", "llvmlite", "matplotlib", "xarray", "h5netcdf", "cupy", "torch"),
    *("jax", "dapper", "pykeops"),
}
OURS = {"enfilt._core", "enfilt._cuda"}
MODULES = ["enfilt"] + [
    # found, not yet imported: an optional dependency may be missing
    module.name
    for module in pkgutil.walk_packages(enfilt.__path__, "enfilt.", onerror=lambda _: None)
]


def load(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = error.name or ""
        if missing.split(".")[0] in OPTIONAL or missing in OURS:
            pytest.skip(f"{name} needs {missing}")
        raise


def test_modules_are_found():
    assert {"enfilt.filters.enff", "enfilt.experiments.presets.lorenz96", "enfilt.metrics"} <= set(
        MODULES
    )


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, _ = doctest.testmod(load(name))
    assert failed == 0


@pytest.mark.parametrize(
    "owner",
    [enfilt, enfilt.operators, enfilt.kernels, enfilt.models, enfilt.priors],
    ids=lambda module: module.__name__,
)
def test_what_users_make_has_an_example(owner):
    bases_and_results = {"Operator", "Interpolated", "Model", "Result", "Tuning", "config"}
    bases_and_results |= {"AssimilationResult"}
    bases_and_results |= {"Prior", "FittedPrior", "Setting", "Estimate", "Noising"}
    finder = doctest.DocTestFinder(recurse=False)
    for name in set(owner.__all__) - bases_and_results:
        value = getattr(owner, name)
        if callable(value):
            assert any(test.examples for test in finder.find(value)), name
