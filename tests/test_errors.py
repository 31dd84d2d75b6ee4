"""Bad input: one clear error that names the argument, and nothing modified.

What every filter refuses is in `enfilt.testing`; here are options, operators and functions of the
user's that fail.
"""

import numpy as np
import pytest

import enfilt as ef
from enfilt import backends
from enfilt.operators import Arctan, Custom, Every, Identity, Linear, Mask, Subset

N, DIM, STEPS = 5, 7, 3


def inputs(dtype=np.float64, batch=None):
    """Forecast, observations of every component and previous analysis."""
    rng = np.random.default_rng(11)
    lead = () if batch is None else (batch,)
    previous = rng.standard_normal((*lead, N, DIM))
    return {
        "forecast": (previous + 0.3 * rng.standard_normal(previous.shape)).astype(dtype),
        "y": np.arctan(rng.standard_normal((*lead, DIM))).astype(dtype),
        "obs": ef.Observation(Arctan(), std=0.5),
        "previous": previous.astype(dtype),
        "noise": rng.standard_normal(previous.shape).astype(dtype),
    }


def assert_untouched(arrays, copies):
    for name, copy in copies.items():
        assert arrays[name].tobytes() == copy.tobytes(), name


def copies_of(arguments):
    return {k: v.copy() for k, v in arguments.items() if isinstance(v, np.ndarray)}


def with_value(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


def _zeros(*shape, dtype=np.float64):
    return np.zeros(shape, dtype)


NAN, INF = np.nan, np.inf

# What is said in full: the contract asks for the name alone.
MESSAGES = {
    "one member": ({"forecast": _zeros(1, DIM)}, r"forecast .* 1 member\(s\): expected at least 2"),
    "text": ({"forecast": "ensemble"}, "forecast can't be read as an array of numbers"),
    # they were read
    "numbers as text": ({"y": ["0.5"] * DIM}, "y can't be read .*: it has dtype <U3"),
    "bytes": ({"y": [b"0.5"] * DIM}, "y can't be read .*: it has dtype"),
    "an integer beyond floats": ({"y": [10**400] * DIM}, "y can't be read .* too large"),
    "other byte order": ({"forecast": _zeros(N, DIM, dtype=">f8")}, "forecast has dtype >f8"),
    "y too short": ({"y": _zeros(6)}, r"y has shape \(6,\): expected \(7,\)"),
    "previous float32": (
        {"previous": _zeros(N, DIM, dtype="f4")},
        "previous has dtype float32, but the ensemble has",
    ),
    "y inf": ({"y": with_value(_zeros(DIM), 2, -INF)}, r"y\[2\] is infinite"),
    "no previous": ({"previous": None}, "previous is missing: .* in the first cycle pass"),
    "previous nan": (
        {"previous": with_value(_zeros(N, DIM), (2, 1), NAN)},
        r"previous\[2, 1\] is nan: expected finite values",
    ),
    "out column-major": ({"out": _zeros(DIM, N).T}, "out must be C-contiguous and writeable"),
    "y of a batch": (
        inputs(batch=2) | {"y": _zeros(3, DIM)},
        r"y has shape \(3, 7\): expected \(7,\) or \(2, 7\)",
    ),
    "nan in a batch": (
        inputs(batch=2) | {"forecast": with_value(inputs(batch=2)["forecast"], (1, 4, 0), NAN)},
        r"forecast\[1, 4, 0\] is nan",
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages(case):
    changes, message = MESSAGES[case]
    with pytest.raises((TypeError, ValueError), match=message):
        ef.EnFF(steps=STEPS).analysis(**(inputs() | changes))


# What of the arguments is replaced, and what is said about it.
BAD_ARGUMENTS = {
    "index out of range": (
        {"obs": ef.Observation(Subset([0, 7]), 0.1), "y": _zeros(2)},
        ValueError,
        "indices holds 7, out of range",
    ),
    "offset out of range": (
        {"obs": ef.Observation(Every(2, offset=7), 0.1), "y": _zeros(1)},
        ValueError,
        "offset=7 is out of range",
    ),
    "mask length": (
        {"obs": ef.Observation(Mask([True] * 6), 0.1), "y": _zeros(6)},
        ValueError,
        "mask has 6 entries: expected 7",
    ),
    "matrix columns": (
        {"obs": ef.Observation(Linear(np.ones((2, 6))), 0.1), "y": _zeros(2)},
        ValueError,
        "matrix has shape .2, 6.: expected 7 columns",
    ),
    "std length": ({"obs": ef.Observation(Arctan(), [0.1] * 6)}, ValueError, "std has 6 entries"),
    "Custom without vjp": (
        {"obs": ef.Observation(Custom(np.sin), 0.1)},
        TypeError,
        "vjp was left out",
    ),
    "Custom without vjp inside": (
        {"obs": ef.Observation(Arctan() @ Custom(np.sin), 0.1)},
        TypeError,
        "vjp was left out",
    ),
    "Custom of wrong shape": (
        {"obs": ef.Observation(Custom(lambda x: x[0], lambda x, u: u), 0.1)},
        ValueError,
        "h returned shape",
    ),
    "vjp of wrong shape": (
        {"obs": ef.Observation(Custom(np.sin, lambda x, u: u[:, :2]), 0.1)},
        ValueError,
        "vjp returned shape",
    ),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments(case, backend):
    changes, kind, message = BAD_ARGUMENTS[case]
    arguments = inputs() | {"out": np.full((N, DIM), 7.0)} | changes
    copies = copies_of(arguments)
    with pytest.raises(kind, match=message):
        ef.EnFF(steps=STEPS, backend=backend).analysis(**arguments)
    assert_untouched(arguments, copies)


@pytest.mark.parametrize("dim", [1, 15, 17, 1000, 8193, 70001])
def test_the_last_component_is_looked_at(dim, dtype, backend):
    """The fast test for finite values has no blind spot at the end of a row."""
    filt = ef.EnFF(path="ot", steps=1, backend=backend)
    obs = ef.Observation(Subset([0]), 0.5)
    for index in ((0, 0), (1, dim - 1), (2, dim // 2)):
        for value in (NAN, -INF):
            forecast = with_value(np.zeros((3, dim), dtype), index, value)
            with pytest.raises(ValueError, match=rf"forecast\[{index[0]}, {index[1]}\] is {value}"):
                filt.analysis(forecast, np.zeros(1, dtype), obs)


def test_the_largest_numbers_are_finite(dtype, backend):
    """A sum of squares would overflow; the test for finite values does not."""
    large = np.full((2, 40), np.finfo(dtype).max / 4, dtype)
    obs = ef.Observation(Identity(), 1.0)
    filt = ef.EnFF(path="ot", steps=1, backend=backend)
    y = np.full(40, NAN, dtype)
    np.testing.assert_array_equal(filt.analysis(large, y, obs), large)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"steps": 0}, ValueError, "steps=0: expected an integer of at least 1"),
        ({"steps": -3}, ValueError, "steps=-3"),
        ({"steps": 2.0}, TypeError, "steps=2.0"),
        ({"steps": True}, TypeError, "steps=True"),
        ({"steps": "19"}, TypeError, "steps='19'"),
        ({"steps": None}, TypeError, "steps=None"),
        ({"sigma_min": 0}, ValueError, "sigma_min=0: expected a finite number and above 0"),
        ({"sigma_min": -0.01}, ValueError, "sigma_min=-0.01"),
        ({"sigma_min": NAN}, ValueError, "sigma_min=nan"),
        ({"sigma_min": INF}, ValueError, "sigma_min=inf"),
        ({"sigma_min": "small"}, TypeError, "sigma_min='small'"),
        ({"sigma_min": "0.1"}, TypeError, "sigma_min='0.1'"),
        ({"path": "ot", "sigma_min": 0}, ValueError, "sigma_min=0"),
        ({"path": "ve", "sigma_min": 0}, ValueError, "sigma_min=0"),
        ({"path": "ve", "sigma_min": 25}, ValueError, "sigma_max=25"),
        ({"path": "f2q"}, ValueError, "path='f2q' is not known.*did you mean 'f2p'"),
        ({"path": None}, ValueError, "path=None"),
        ({"guidance": "locl"}, ValueError, "guidance='locl' is not known.*did you mean 'local'"),
        ({"guidance": None}, ValueError, "guidance=None"),
        ({"guidance": "covariance"}, ValueError, "guidance='covariance'.*path='f2p'"),
        ({"strength": -1}, ValueError, "strength=-1"),
        ({"strength": NAN}, ValueError, "strength=nan"),
        ({"strength": "strong"}, TypeError, "strength='strong'"),
        ({"sampler": "euler2"}, ValueError, "sampler='euler2'.*did you mean 'euler'"),
        ({"coupling": "pair"}, ValueError, "coupling='pair'.*did you mean 'paired'"),
        ({"path": "ot", "coupling": "independent"}, ValueError, "coupling='independent'"),
        ({"inflation": 0}, ValueError, "inflation=0"),
        ({"inflation": "big"}, TypeError, "inflation='big'"),
        ({"backend": "nunpy"}, ValueError, "backend='nunpy' is not known.*did you mean 'num"),
        ({"backend": "cp"}, ValueError, "backend='cp' is not known.*did you mean 'cpp'"),
        ({"backend": "C++"}, ValueError, "backend='C\\+\\+' is not known"),
        ({"backend": None}, ValueError, "backend=None"),
    ],
)
def test_bad_options_fail_when_the_filter_is_made(options, kind, message):
    with pytest.raises(kind, match=message):
        ef.EnFF(**options)


def test_a_backend_that_is_not_here_is_an_error():
    for name in set(backends.missing()):
        with pytest.raises(ValueError, match=f"backend='{name}' can't be used: .*expected one of"):
            ef.EnFF(backend=name)
        with pytest.raises(ValueError, match=f"backend='{name}' can't be used"):
            ef.models.Lorenz96(backend=name)
        with pytest.raises(ValueError, match=f"backend='{name}' can't be used"):
            ef.metrics.score(_zeros(2, 2), _zeros(2), backend=name)


@pytest.mark.skipif(backends.available(on_device=True) != [], reason="CUDA kernels are here")
def test_cuda_where_there_is_none():
    with pytest.raises(ValueError, match="backend='cuda' can't be used"):
        ef.EnFF(backend="cuda")


def test_a_strength_that_is_negative_somewhere(backend):
    arguments = inputs() | {"out": np.full((N, DIM), 7.0)}
    copies = copies_of(arguments)
    filt = ef.EnFF(steps=4, strength=lambda t: 0.5 - t, backend=backend)
    with pytest.raises(ValueError, match=r"strength\(0.75\)=-0.25"):
        filt.analysis(**arguments)
    assert_untouched(arguments, copies)


# -- what is written to


class Half:
    """A function that raises in its fourth call."""

    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls > 3:
            raise OSError("lost on the way")
        return self.function(*arguments)


@pytest.mark.parametrize("target", ["fresh", "forecast", "previous"])
@pytest.mark.parametrize("part", ["h", "vjp"])
@pytest.mark.parametrize("batch", [None, 2])
def test_a_custom_operator_that_raises_leaves_out_untouched(part, target, batch, backend):
    h, vjp = np.arctan, lambda x, u: u / (1 + x * x)
    operator = Custom(Half(h), vjp) if part == "h" else Custom(h, Half(vjp))
    arguments = inputs(batch=batch) | {"obs": ef.Observation(operator, 0.5)}
    out = np.full_like(arguments["forecast"], 7.0) if target == "fresh" else arguments[target]
    copies = copies_of(arguments | {"out": out})
    # of a batch, when the first ensemble is done
    filt = ef.EnFF(steps=2 if batch else 9, backend=backend)
    with pytest.raises(OSError, match="lost on the way"):
        filt.analysis(**arguments, out=out)
    assert_untouched(arguments | {"out": out}, copies)


@pytest.mark.parametrize("target", ["fresh", "forecast"])
@pytest.mark.parametrize("batch", [None, 2])
def test_a_guidance_that_raises_leaves_out_untouched(target, batch, backend):
    """With a batch the first ensemble is done when the second one fails."""
    guidance = Half(lambda t, z, v, x_hat, y, obs: 0 * z)
    arguments = inputs(batch=batch)
    out = np.full_like(arguments["forecast"], 7.0) if target == "fresh" else arguments[target]
    copies = copies_of(arguments | {"out": out})
    filt = ef.EnFF(steps=2 if batch else 9, guidance=guidance, backend=backend)
    with pytest.raises(OSError, match="lost on the way"):
        filt.analysis(**arguments, out=out)
    assert_untouched(arguments | {"out": out}, copies)


def test_a_guidance_of_wrong_shape(backend):
    filt = ef.EnFF(steps=2, guidance=lambda t, z, v, x_hat, y, obs: z[:1], backend=backend)
    with pytest.raises(ValueError, match=r"guidance returned shape \(1, 7\)"):
        filt.analysis(**inputs())


def test_no_gradient_is_asked_for_where_none_is_needed(backend):
    arguments = inputs() | {"obs": ef.Observation(Custom(np.arctan), 0.5)}
    for options in ({"guidance": "none"}, {"guidance": "monte-carlo"},
                    {"guidance": "covariance", "path": "ot"}):  # fmt: skip
        found = ef.EnFF(steps=2, backend=backend, **options).analysis(**arguments)
        assert np.isfinite(found).all()


# -- the kernels on their own


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda k: k.flow_field(_zeros(2, 3), _zeros(4, 2), 0.5, path="ot"),
            ValueError,
            "forecast",
        ),
        (
            lambda k: k.flow_field(_zeros(3), _zeros(4, 3), 0.5, path="ot"),
            ValueError,
            "x has shape",
        ),
        (lambda k: k.flow_field(_zeros(2, 3), _zeros(4, 3), 1.5, path="ot"), ValueError, "t=1.5"),
        (lambda k: k.flow_field(_zeros(2, 3), _zeros(4, 3), NAN, path="ot"), ValueError, "t=nan"),
        (
            lambda k: k.flow_field(_zeros(2, 3), _zeros(4, 3), 0.5, path="f2p"),
            ValueError,
            "previous",
        ),
        (
            lambda k: k.flow_field(
                _zeros(2, 3), _zeros(4, 3), 0.5, path="f2p", previous=_zeros(2, 3)
            ),
            ValueError,
            "previous has shape",
        ),
        (
            lambda k: k.flow_field(_zeros(2, 3), _zeros(4, 3, dtype="f4"), 0.5, path="ot"),
            TypeError,
            "forecast has dtype float32",
        ),
        (
            lambda k: k.flow_field(
                _zeros(2, 3), _zeros(4, 3), 0.5, path="ot", log_weights=_zeros(3)
            ),
            ValueError,
            "log_weights has shape",
        ),
        (
            lambda k: k.flow_field(_zeros(2, 3), _zeros(4, 3), 0.5, path="ot", out=_zeros(4, 3)),
            ValueError,
            "out has shape",
        ),
        (lambda k: k.mixture_score(_zeros(2, 3), _zeros(4, 3), 1.0, 0.0), ValueError, "std=0"),
        (lambda k: k.mixture_score(_zeros(2, 3), _zeros(4, 3), NAN, 1.0), ValueError, "scale=nan"),
        (
            lambda k: k.pairwise_log_weights(_zeros(2, 3), np.full((4, 3), INF), 1.0, 1.0),
            ValueError,
            r"centers\[0, 0\] is inf",
        ),
        (lambda k: k.standard_normal(0, (0, 3)), ValueError, "shape=0"),
        (lambda k: k.standard_normal(0, (2, 3), dtype=int), TypeError, "dtype=int64"),
        (lambda k: k.standard_normal(1.5, (2, 3)), TypeError, "key=1.5"),
    ],
)
def test_bad_kernel_arguments(call, kind, message):
    with pytest.raises(kind, match=message):
        call(ef.kernels)
