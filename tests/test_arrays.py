"""Arrays of other libraries: taken and given back without a copy, as what they were."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import enfilt as ef
from enfilt.localization import GaspariCohn

N, DIM = 6, 40
RNG = np.random.default_rng(19)
X = RNG.standard_normal((N, DIM)).astype("f4")
Y = RNG.standard_normal(DIM)  # float64
MODEL = ef.models.Lorenz96(dim=DIM)
OBS = ef.Observation(ef.operators.Identity(), 0.5, grid=MODEL.grid)
PAGE = (Path(__file__).parents[1] / "docs" / "arrays.md").read_text()


class Library:
    """How arrays of one are made, and where they begin."""

    def __init__(self, name):
        self.name, self.module = name, pytest.importorskip(name)

    def array(self, x):
        x = np.array(x)
        if self.name == "torch":
            return self.module.from_numpy(x)
        if self.name == "jax":
            return self.module.numpy.asarray(x)
        if self.name == "pandas":
            return pd.DataFrame(x) if x.ndim > 1 else pd.Series(x)
        return xr.DataArray(x, dims=("time", "member", "x")[3 - x.ndim :])

    @staticmethod
    def address(array):
        for name in ("data_ptr", "unsafe_buffer_pointer"):
            if hasattr(array, name):
                return getattr(array, name)()
        return np.asarray(array).ctypes.data


@pytest.fixture(params=["torch", "jax", "xarray", "pandas"])
def library(request):
    return Library(request.param)


class Shifting(ef.filters.EnsembleFilter):
    """Tells which memory it has read and written."""

    def _check_options(self):
        pass

    def _update(self, cycle, out):
        cycle.facts.update(read=cycle.forecast.ctypes.data, written=out.ctypes.data)
        out[...] = cycle.forecast + 1


def test_nothing_is_copied(library):
    if library.name == "pandas":
        return  # which keeps columns together, not rows
    filt, x = Shifting(), library.array(X)
    found = filt.analysis(x, library.array(Y), OBS)
    assert type(found) is type(x)
    assert filt.facts["read"] == library.address(x)
    assert filt.facts["written"] == library.address(found)
    np.testing.assert_array_equal(np.asarray(found), X + 1)


LINEAR = ef.Observation(ef.operators.Identity(), 0.5)
OWN = ef.Observation(ef.operators.Custom(lambda x: x[:, :3]), 0.5)
SQUARE, WEIGHTS = np.eye(3, dtype="f4"), np.eye(DIM)
CALLS = {
    "EnFF": lambda a: ef.EnFF(steps=2).analysis(a(X), a(Y), OBS, previous=a(X[::-1]), rng=1),
    "LEnFF": lambda a: ef.LEnFF(GaspariCohn(5.0)).analysis(forecast=a(X), y=a(Y), obs=OBS),
    "a smoother": lambda a: ef.EnKS(ef.ETKF(), lag=1).analysis(a(X), a(Y), OBS),
    "h of one's own": lambda a: ef.ETKF().analysis(a(X), a(Y[:3]), OWN),
    "observed": lambda a: ef.ETKF().analysis(
        a(X), a(Y), ef.Observation(None, 0.5), observed=a(X.astype(float))),
    "BootstrapPF": lambda a: ef.BootstrapPF().weighted_analysis(a(X), a(Y), OBS, rng=1)[0],
    "moments": lambda a: ef.KalmanFilter().analysis_moments(a(X[0, :3]), SQUARE, a(Y[:3]),
                                                            LINEAR)[0],
    "step": lambda a: MODEL.step(a(X), 2),
    "flow_field": lambda a: ef.kernels.flow_field(a(X), a(X), 0.5, path="ot", sigma_min=0.1),
    "mixture_score": lambda a: ef.kernels.mixture_score(a(X), a(X), 0.5, 1.0),
    "etkf": lambda a: ef.kernels.etkf(a(X), a(Y), observed=a(X), std=0.5),
    "letkf": lambda a: ef.kernels.letkf(a(X), a(Y), observed=a(X), std=0.5, weights=WEIGHTS),
    "letkf of an observation": lambda a: ef.kernels.letkf(a(X), a(Y), OBS,
                                                          localization=GaspariCohn(5.0)),
    "lenff": lambda a: ef.kernels.lenff(a(X), a(Y), observed=a(X), std=0.5),
    "lorenz96": lambda a: ef.kernels.lorenz96(a(X)),
    "gradient": lambda a: OBS.gradient(a(X), a(Y)),
    "simulate": lambda a: OBS.simulate(a(X[0]), rng=1),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_what_goes_in_comes_back(library, name):
    wanted = CALLS[name](lambda x: x)
    found = CALLS[name](library.array)
    assert type(found) is type(library.array(wanted))
    np.testing.assert_array_equal(np.asarray(found), wanted)
    assert str(found.dtypes.iloc[0] if hasattr(found, "columns") else found.dtype)[-7:] == "float32"


def test_scores_are_numbers(library):
    wanted = ef.metrics.score(X, X[0])
    assert ef.metrics.score(library.array(X), library.array(X[0])) == wanted
    found = ef.kernels.pairwise_log_weights(library.array(X), library.array(X), 1.0, 1.0)
    np.testing.assert_allclose(found, ef.kernels.pairwise_log_weights(X, X, 1.0, 1.0), rtol=1e-6)


def test_labels_come_back():
    names = {"member": np.arange(N), "x": np.linspace(0, 1, DIM), "height": 3.0}
    x = xr.DataArray(X, names, ("member", "x"), name="T", attrs={"units": "K"})
    found = ef.ETKF().analysis(x, x[0], OBS)
    assert found.equals(x.copy(data=ef.ETKF().analysis(X, X[0], OBS)))
    assert (found.name, found.attrs) == ("T", {"units": "K"})
    assert found.attrs is not x.attrs
    frame = pd.DataFrame(X, index=[*"abcdef"]).add_prefix("S")
    found = MODEL.step(frame)
    assert found.equals(pd.DataFrame(MODEL.step(X), frame.index, frame.columns))
    # of another shape there are none
    assert type(ef.kernels.pairwise_log_weights(x, x, 1.0, 1.0)) is np.ndarray


def test_out_is_written_to_and_returned(library):
    x, out = library.array(X), library.array(np.zeros_like(X))
    if library.name in ("jax", "pandas"):
        message = r"out (must be C-contiguous and writeable|is of type DataFrame)"
        with pytest.raises((TypeError, ValueError), match=message):
            ef.ETKF().analysis(x, Y, OBS, out=out)
        return
    assert ef.ETKF().analysis(x, Y, OBS, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), ef.ETKF().analysis(X, Y, OBS))
    assert MODEL.step(x, out=x) is x
    np.testing.assert_array_equal(np.asarray(x), MODEL.step(X))


def test_what_has_no_memory_of_its_own_is_not_written_to():
    class Variable:
        dtype, shape = X.dtype, X.shape

        def __array__(self, dtype=None, copy=None):
            return X.copy()

    with pytest.raises(TypeError, match="out is of type Variable: expected a NumPy array"):
        MODEL.step(X, out=Variable())


class Tensor:
    """What speaks DLPack and the array API, and no more."""

    def __init__(self, memory, device=1):
        self.memory, self.device = memory, device

    def __dlpack_device__(self):
        return self.device, 0

    def __dlpack__(self, **options):
        return self.memory.__dlpack__(**options)

    def __array_namespace__(self):
        class Namespace:
            from_dlpack = Tensor

        return Namespace


def test_any_library_that_speaks_dlpack():
    found = MODEL.step(Tensor(X))
    assert isinstance(found, Tensor)
    np.testing.assert_array_equal(found.memory, MODEL.step(X))
    with pytest.raises(TypeError, match=r"ensemble is of type .*Tensor.* device .* kind 4"):
        MODEL.step(Tensor(X, device=4))


def test_a_gradient_is_an_error():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X.copy()).requires_grad_()
    with pytest.raises(TypeError, match=r"previous is of type torch.Tensor.*requires grad"):
        ef.EnFF().analysis(X, Y, OBS, previous=x)
    with pytest.raises(TypeError, match=r"forecast .* BFloat16"):
        ef.ETKF().analysis(x.detach().bfloat16(), Y, OBS)


def test_a_tracer_is_an_error_that_says_what_to_do():
    jax = pytest.importorskip("jax")
    for call in (lambda x: ef.ETKF().analysis(x, Y, OBS), lambda y: ef.ETKF().analysis(X, y, OBS)):
        with pytest.raises(TypeError, match=r"is a tracer of JAX \(float32.*jax.pure_callback"):
            jax.jit(call)(X if call.__code__.co_varnames[0] == "x" else Y)


def test_what_is_told_of_observations_is_rounded_to_the_ensembles_dtype():
    y, h, own = Y, X.astype(float) / 3, ef.Observation(None, np.full(DIM, 1 / 3))
    single = {"y": y.astype("f4"), "observed": h.astype("f4")}
    for call in (
        lambda **k: ef.ETKF().analysis(X, obs=own, **k),
        lambda **k: ef.kernels.etkf(X, std=1 / 3, **k),
        lambda **k: ef.kernels.letkf(X, std=1 / 3, weights=WEIGHTS, **k),
        lambda **k: ef.inflation.Adaptive().estimate(X, obs=own, known=1.5, **k),
    ):
        np.testing.assert_array_equal(call(y=y, observed=h), call(**single))
    for name in ("misfit", "innovation", "gradient"):
        np.testing.assert_array_equal(getattr(OBS, name)(X, y), getattr(OBS, name)(X, single["y"]))
    found = ef.ETKF().analysis(X.astype(float), single["y"], OBS)  # exact
    np.testing.assert_array_equal(
        found, ef.ETKF().analysis(X.astype(float), single["y"].astype(float), OBS)
    )
    with pytest.raises(ValueError, match=r"y\[3\] is 1e\+40, beyond float32.* ensemble of float64"):
        ef.ETKF().analysis(X, np.where(np.arange(DIM) == 3, 1e40, y), OBS)
    with pytest.raises(TypeError, match=r"previous has dtype float64, but the ensemble has"):
        ef.EnFF().analysis(X, y, OBS, previous=X.astype(float))


@pytest.mark.parametrize("library", ["torch", "jax", "xarray"])
def test_the_example_of_the_page(library):
    pytest.importorskip(library)
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (code,) = [text for text in examples if re.search(rf"^import {library}\b", text, re.M)]
    exec(compile(code, "arrays.md", "exec"), {})
