"""All public calls, each as a strategy that draws one."""

from typing import Any

import numpy as np
from arrays import NUMBERS, Recipe, made, mostly, odd, recipes
from hypothesis import strategies as st
from judge import Call, Spec, finite, like, shaped
from options import (
    BOOLS,
    SEEDS,
    WORDS,
    bowl,
    choices,
    counts,
    filters,
    grids,
    inflations,
    nan,
    numbers,
    observations,
    operators,
    priors,
    smoothers,
    tapers,
    text,
    transformed,
)

import enfilt as ef

DIMS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 33, 65, 129, 300])
MEMBERS = st.sampled_from([2, 3, 4, 5, 8, 9, 16, 17, 20, 33])
FLOATS = st.sampled_from(["f8", "f4"])
#: Backends that are drawn; `run.py` sets them.
BACKENDS: list[str] = []


def backends() -> st.SearchStrategy:
    """Draw a backend by name."""
    return st.sampled_from(["auto", *BACKENDS])


def given_as(draw: Any, arrays: dict[str, tuple[tuple[int, ...], str]]) -> dict[str, Any]:
    """Draw arrays by name; of one call in three, one is odd."""
    spoilt = None
    if draw(st.integers(0, 2)) == 0:
        spoilt = draw(st.sampled_from(sorted(arrays)))
    return {
        name: draw(odd(shape, dtype) if name == spoilt else recipes(shape, dtype))
        for name, (shape, dtype) in arrays.items()
    }


def outputs(draw: Any, shape: tuple[int, ...], dtype: str, arguments: dict[str, Any]) -> None:
    """Draw `out=`, in one call of four."""
    if draw(st.integers(0, 3)) == 0:
        usual = st.just(Recipe(shape, dtype, "zeros"))
        arguments["out"] = draw(mostly(usual, odd(shape, dtype), 3))


@st.composite
def analysis(draw: Any) -> Call:
    """An analysis by any filter."""
    dim, members = draw(DIMS), draw(MEMBERS)
    if draw(st.integers(0, 19)) == 0:
        members = 1
    kind = {0: transformed, 1: smoothers}.get(draw(st.integers(0, 9)), filters)
    filt = draw(kind(dim, BACKENDS))
    obs, m = draw(observations(dim))
    batch = draw(st.sampled_from([(), (), (), (1,), (3,)]))
    dtype = draw(FLOATS)
    shape = (*batch, members, dim)
    arrays = {"forecast": (shape, dtype), "y": ((*batch, m), dtype), "previous": (shape, dtype)}
    if draw(st.integers(0, 3)) == 0:
        steps = filt.options.get("steps", 0)
        stochastic = isinstance(steps, int) and draw(st.booleans())
        wanted = (*batch, steps + 1, members, dim) if stochastic and steps >= 0 else shape
        arrays["noise"] = (wanted, dtype)
    arguments = given_as(draw, arrays)
    if draw(st.integers(0, 9)) == 0:
        del arguments["previous"]
    outputs(draw, shape, dtype, arguments)
    arguments |= {"obs": obs, "rng": draw(SEEDS)}
    method = "analysis"
    if filt.make is ef.BootstrapPF and not batch and draw(st.booleans()):
        method = "weighted_analysis"
        del arguments["rng"]
        for name in ("previous", "out"):
            arguments.pop(name, None)
        arguments["log_weights"] = draw(mostly(recipes((members,)), odd((members,))))
        return Call(f"{filt.make.__name__}.{method}", filt, method, arguments)
    return Call(f"{filt.make.__name__}.{method}", filt, method, arguments, like("forecast"))


@st.composite
def moments(draw: Any) -> Call:
    """The Kalman filter on a mean and a covariance."""
    dim, dtype = draw(st.integers(1, 6)), draw(FLOATS)
    scale = draw(st.sampled_from([1.0, 1.0, 1e-200, 1e200, 0.0, -1.0]))
    covariance: Any = Spec(symmetric, dim, dtype, scale)
    arguments = given_as(draw, {"mean": ((dim,), dtype)})
    covariance = draw(mostly(st.just(covariance), odd((dim, dim), dtype)))
    arguments["covariance"] = covariance
    if draw(st.booleans()):
        obs, m = draw(observations(dim))
        arguments |= given_as(draw, {"y": ((m,), dtype)}) | {"obs": obs}
        name = "analysis_moments"
    else:
        arguments |= given_as(draw, {"propagator": ((dim, dim), dtype)})
        name = "forecast_moments"
    return Call(f"KalmanFilter.{name}", Spec(ef.KalmanFilter), name, arguments)


def symmetric(dim: int, dtype: str, scale: float) -> Any:
    """A covariance, nearly."""
    root = np.random.default_rng(0).standard_normal((dim, dim))
    with np.errstate(all="ignore"):
        return (scale * (root @ root.T + np.eye(dim))).astype(dtype)


@st.composite
def filter_itself(draw: Any) -> Call:
    """What a filter says of itself."""
    filt = draw(filters(draw(DIMS), BACKENDS))
    methods = ["describe", "reset", "__repr__", "__hash__", "state", "restore"]
    method = draw(st.sampled_from(methods))
    strange = st.sampled_from([None, 3, {}, {"filter": "EnFF"}, {"filter": None}])
    arguments = {"state": draw(strange)} if method == "restore" else {}
    return Call(f"{filt.make.__name__}.{method}", filt, method, arguments)


@st.composite
def pairwise(draw: Any) -> Call:
    """The pairwise kernels."""
    dim, members, points, dtype = draw(DIMS), draw(MEMBERS), draw(st.integers(1, 9)), draw(FLOATS)
    which = draw(st.sampled_from(["flow_field", "mixture_score", "pairwise_log_weights"]))
    other = "forecast" if which == "flow_field" else "centers"
    arrays = {"x": ((points, dim), dtype), other: ((members, dim), dtype)}
    if which == "flow_field" and draw(st.booleans()):
        arrays["previous"] = ((members, dim), dtype)
    arguments: dict[str, Any] = given_as(draw, arrays)
    if which == "flow_field":
        arguments |= {"t": draw(numbers(0.0, 0.5, 1.0)), "path": draw(choices("ot", "f2p", "ve"))}
        if draw(st.booleans()):
            arguments["sigma_min"] = draw(numbers(0.1, 0.5))
    else:
        arguments |= {"scale": draw(numbers(1.0, 0.5)), "std": draw(numbers(1.0, 0.1))}

    def check(result: Any, given: dict[str, Any]) -> None:
        shaped((len(given["x"]), len(given["centers"])), "f8")(result, given)

    if which != "pairwise_log_weights":
        check = like("x")
        outputs(draw, (points, dim), dtype, arguments)
        if draw(st.integers(0, 2)) == 0:
            arguments["log_weights"] = draw(mostly(recipes((members,)), odd((members,))))
    arguments["backend"] = draw(backends())
    return Call(f"kernels.{which}", getattr(ef.kernels, which), "", arguments, check)


@st.composite
def normals(draw: Any) -> Call:
    """Counter-based normals."""
    shape = draw(
        mostly(
            st.tuples(st.integers(1, 9), st.integers(1, 300)),
            st.sampled_from([(0, 1), (1,), 3, None, (1, 2, 3), (-1, 2), (1.5, 2), "ab"]),
        )
    )
    usual = st.sampled_from([0, 1, 2**32 - 1])
    strange = st.sampled_from([-1, 2**32, 2**64, 2**70, 0.5, None, "1", True])
    arguments = {
        "key": draw(mostly(st.sampled_from([0, 7, 2**64 - 1, 2**70]), strange)),
        "shape": shape,
        "step": draw(mostly(usual, strange)),
        "batch": draw(mostly(usual, strange)),
        "dtype": draw(mostly(FLOATS, st.sampled_from(["f2", int, None, "x", 3, ">f8"]))),
        "backend": draw(backends()),
    }
    return Call("kernels.standard_normal", ef.kernels.standard_normal, "", arguments)


@st.composite
def kernel_forms(draw: Any) -> Call:
    """The kernels that are checked forms of a model and a filter."""
    dtype, members = draw(FLOATS), draw(MEMBERS)
    dim = draw(DIMS)
    if draw(st.booleans()):
        arguments = given_as(draw, {"x": ((members, dim), dtype)})
        outputs(draw, (members, dim), dtype, arguments)
        arguments |= {
            "dt": draw(numbers(0.01, 0.05)),
            "steps": draw(counts(0, 1, 7)),
            "forcing": draw(numbers(8.0, 4.0)),
            "backend": draw(backends()),
        }
        return Call("kernels.lorenz96", ef.kernels.lorenz96, "", arguments, like("x"))
    obs, m = draw(observations(dim))
    arguments = given_as(draw, {"forecast": ((members, dim), dtype), "y": ((m,), dtype)})
    arguments |= {"obs": obs, "localization": draw(tapers()), "backend": draw(backends())}
    outputs(draw, (members, dim), dtype, arguments)
    return Call("kernels.letkf", ef.kernels.letkf, "", arguments, like("forecast"))


@st.composite
def array_analyses(draw: Any) -> Call:
    """The kernels of analyses, of arrays alone."""
    dim, members, dtype, m = draw(DIMS), draw(MEMBERS), draw(FLOATS), draw(st.integers(1, 20))
    which = draw(st.sampled_from(["etkf", "letkf", "lenff"]))
    arrays = {
        "forecast": ((members, dim), dtype),
        "y": ((m,), dtype),
        "observed": ((members, m), dtype),
    }
    arguments = given_as(draw, arrays)
    outputs(draw, (members, dim), dtype, arguments)
    arguments |= {"std": draw(numbers(0.5, 2.0)), "backend": draw(backends())}
    if which == "letkf" or (which == "lenff" and draw(st.booleans())):
        shapes = {"weights": (dim, m)} | ({"between": (m, m)} if which == "lenff" else {})
        for name, shape in shapes.items():
            arguments[name] = draw(mostly(st.just(Recipe(shape, "f8", "unit")), odd(shape)))
    return Call(f"kernels.{which}", getattr(ef.kernels, which), "", arguments, like("forecast"))


@st.composite
def operator_calls(draw: Any) -> Call:
    """Operators on states."""
    dim, members, dtype = draw(DIMS), draw(MEMBERS), draw(FLOATS)
    operator = draw(operators(dim))
    method = draw(
        st.sampled_from(["__call__", "__call__", "vjp", "size", "as_matrix", "pointwise"])
    )
    shape = draw(st.sampled_from([(dim,), (members, dim), (2, members, dim)]))
    if method in ("__call__", "vjp"):
        arrays = {"x": (shape, dtype)}
        if method == "vjp":
            from options import observed

            arrays["u"] = ((*shape[:-1], observed(operator, dim)), dtype)
        arguments = given_as(draw, arrays)
    else:
        arguments = {"dim": draw(st.sampled_from([dim, dim + 1, 1]))}

    def check(result: Any, given: dict[str, Any]) -> None:
        finite(result if isinstance(result, np.ndarray) else None)

    name = f"{operator.make.__name__}.{method}"
    return Call(name, operator, method, arguments, check, plain=True)


@st.composite
def observation_calls(draw: Any) -> Call:
    """What an observation computes."""
    dim, members, dtype = draw(DIMS), draw(MEMBERS), draw(FLOATS)
    obs, m = draw(observations(dim))
    methods = ["size", "precision", "innovation", "misfit", "gradient", "simulate", "places"]
    method = draw(st.sampled_from([*methods, "state_grid", "__repr__"]))
    arguments: dict[str, Any] = {}
    if method in ("innovation", "misfit", "gradient"):
        arguments = given_as(draw, {"x": ((members, dim), dtype), "y": ((m,), dtype)})
    elif method == "simulate":
        arguments = given_as(draw, {"truth": ((dim,), dtype)}) | {"rng": draw(SEEDS)}
    elif method in ("size", "places", "state_grid"):
        arguments = {"dim": draw(st.sampled_from([dim, dim, dim + 1]))}
    elif method == "precision":
        arguments = {"dtype": draw(mostly(FLOATS, st.sampled_from(["f2", "x", None, int])))}
    plain = method in ("innovation", "misfit", "gradient")

    def check(result: Any, given: dict[str, Any]) -> None:
        if method == "simulate":  # NaN where the error is not known
            result = np.where(np.isnan(np.asarray(made(obs.args[1]), float)), 0, result)
        finite(result)

    return Call(f"Observation.{method}", obs, method, arguments, check, plain=plain)


@st.composite
def models(draw: Any) -> tuple[Spec, int]:
    """Draw a model and D."""
    noise = {"model_noise": draw(numbers(0.1, 1.0))} if draw(st.integers(0, 3)) == 0 else {}
    kind = draw(st.sampled_from(["l96", "l96", "two", "l63", "ks", "ns", "flow", "linear"]))
    if kind == "l96":
        dim = draw(st.sampled_from([4, 5, 8, 17, 40, 129]))
        options = {"forcing": draw(numbers(8.0, 4.0)), "dt": draw(numbers(0.01, 0.05))}
        backend = draw(backends())
        return Spec(ef.models.Lorenz96, draw(counts(dim)), **options, backend=backend, **noise), dim
    if kind == "two":
        names = draw(st.lists(st.sampled_from(["forcing", "h", "b", "c", "dt"]), max_size=2))
        options = {name: draw(numbers(0.005, 1.0, 10.0)) for name in names}
        slow, fast = draw(st.sampled_from([3, 4, 9])), draw(st.sampled_from([1, 2, 5]))
        sizes = draw(counts(slow)), draw(counts(fast))
        return Spec(ef.models.TwoScaleLorenz96, *sizes, **options, **noise), slow * (1 + fast)
    if kind == "l63":
        names = draw(st.lists(st.sampled_from(["sigma", "rho", "beta", "dt"]), max_size=2))
        options = {name: draw(numbers(0.05, 8.0, 28.0)) for name in names}
        return Spec(ef.models.Lorenz63, **options, **noise), 3
    if kind == "ks":
        n = draw(st.sampled_from([4, 8, 9, 32]))
        return Spec(ef.models.KuramotoSivashinsky, draw(counts(n)), **noise), n
    if kind == "ns":
        n = draw(st.sampled_from([3, 4, 8]))
        options = {"dt": draw(numbers(0.01, 0.1))}
        backend = draw(backends())
        model = Spec(ef.models.NavierStokes2D, draw(counts(n)), backend=backend, **options, **noise)
        return model, 3 * n * n
    if kind == "flow":
        options = {"dt": draw(numbers(0.1, 0.2)), "reynolds": draw(numbers(100.0, 1000.0))}
        wave = {"forcing_wavenumber": draw(counts(1, 0, 2))}
        model = Spec(ef.models.KolmogorovFlow, draw(counts(8, 9)), **options, **wave, **noise)
        return model, 2 * 8 * 8
    dim = draw(st.integers(1, 5))
    matrix = draw(mostly(recipes((dim, dim)), odd((dim, dim))))
    return Spec(ef.models.Linear, matrix, draw(numbers(1.0, 0.5)), **noise), dim


@st.composite
def model_calls(draw: Any) -> Call:
    """Steps of a model."""
    model, dim = draw(models())
    name, dtype = model.make.__name__, draw(FLOATS)
    method = draw(st.sampled_from(["step", "step", "step", "initial_state", "field"]))
    if method == "initial_state":
        return Call(f"{name}.{method}", model, method, {"rng": draw(SEEDS)})
    shape = draw(st.sampled_from([(dim,), (3, dim), (2, 3, dim)]))
    if method == "field":
        arguments = given_as(draw, {"states": (shape, dtype)})
        return Call(f"{name}.{method}", model, method, arguments, plain=True)
    arguments = given_as(draw, {"ensemble": (shape, dtype)})
    outputs(draw, shape, dtype, arguments)
    arguments |= {"steps": draw(counts(0, 1, 3)), "rng": draw(SEEDS)}
    return Call(f"{name}.{method}", model, method, arguments, like("ensemble"))


@st.composite
def metric_calls(draw: Any) -> Call:
    """Scores of an ensemble."""
    dim, dtype = draw(DIMS), draw(FLOATS)
    members = draw(st.sampled_from([1, 2, 3, 5, 20, 40]))
    which = draw(
        st.sampled_from(
            [
                *("score", "rmse", "spread", "crps", "energy_score", "nrmse", "rank_histogram"),
                *("fair_crps", "of_components"),
            ]
        )
    )
    arrays = {"ensemble": ((members, dim), dtype), "truth": ((dim,), dtype)}
    if which == "spread":
        del arrays["truth"]
    arguments = given_as(draw, arrays)
    if which == "score":
        arguments["backend"] = draw(backends())

    def check(result: Any, given: dict[str, Any]) -> None:
        truth = np.asarray(given.get("truth", 0.0), dtype=float)
        if np.ptp(truth) < 1e-100 or np.std(truth) == 0:  # nrmse is none then
            if which == "nrmse":
                return
            result = result._replace(nrmse=0.0) if which == "score" else result
        whole = which in ("score", "of_components")
        if whole and len(np.asarray(given["ensemble"])) == 1:  # there is no pair
            result = result._replace(fair_crps=0.0)
        finite(tuple(result) if whole else result)

    return Call(f"metrics.{which}", getattr(ef.metrics, which), "", arguments, check)


@st.composite
def inflation_calls(draw: Any) -> Call:
    """Inflations on their own."""
    dim, members, dtype = draw(DIMS), draw(MEMBERS), draw(FLOATS)
    value = draw(inflations())
    shape = draw(st.sampled_from([(members, dim), (2, members, dim)]))
    if not isinstance(value, Spec):
        value = Spec(ef.inflation.Multiplicative, value)
    name = value.make.__name__
    if value.make is ef.inflation.Adaptive and draw(st.booleans()):
        obs, m = draw(observations(dim))
        arrays = {"forecast": ((members, dim), dtype), "y": ((m,), dtype)}
        arguments = given_as(draw, arrays) | {"obs": obs, "known": draw(numbers(1.0, 2.0))}
        return Call(f"{name}.estimate", value, "estimate", arguments)
    if value.make is ef.inflation.Adaptive:
        arguments = given_as(draw, {"forecast": (shape, dtype)})
        arguments |= {"factor": draw(numbers(1.5, 1.0)), "out": Recipe(shape, dtype, "zeros")}
        changed = "out"
    else:
        arguments = given_as(draw, {"analysis": (shape, dtype), "forecast": (shape, dtype)})
        changed = "analysis"

    def check(result: Any, given: dict[str, Any]) -> None:
        finite(given[changed])

    method = "widen" if changed == "out" else "apply"
    return Call(f"{name}.{method}", value, method, arguments, check)


@st.composite
def place_calls(draw: Any) -> Call:
    """Grids and tapers."""
    dim = draw(DIMS)
    if draw(st.booleans()):
        arguments = given_as(draw, {"distance": (draw(st.sampled_from([(3,), (2, 3), ()])), "f8")})
        return Call("Taper.weight", draw(tapers()), "weight", arguments)
    grid = draw(grids(dim))
    name = grid.make.__name__
    if draw(st.booleans()):
        columns = dict.fromkeys(("time", "value", "error", "x"), ((3,), "f8"))
        arguments = given_as(draw, columns) | {
            "geometry": draw(mostly(st.just(grid), st.none())),
            "window": draw(mostly(numbers(1.0, 0.1), st.sampled_from([None, "6h"]))),
            "places": draw(mostly(st.just(["x"]), st.sampled_from([None, "x", ["x", "x"], ["y"]]))),
            "outside": draw(choices("error", "leave out")),
            "align": draw(choices("centre", "end")),
        }

        def listed(time: Any, value: Any, error: Any, x: Any, geometry: Any, **options: Any) -> Any:
            if getattr(error, "dtype", None) == np.float64:
                error = np.abs(error)
            frame = {"time": time, "value": value, "error": error, "x": x}
            found = ef.Observations.from_frame(frame, geometry, **options)
            return [(window.time, window.obs) for window in found]

        words = ["frame", "window", "places", "outside", "align"]
        return Call("Observations.from_frame", listed, "", arguments, words=words)
    if draw(st.booleans()):
        arguments = given_as(draw, {"places": ((3, draw(st.sampled_from([1, 2, 3]))), "f8")})
        arguments["variable"] = draw(mostly(st.sampled_from([None, 0]), st.sampled_from([1, "u"])))
        arguments["geometry"] = grid

        def sums_to_one(result: Any, given: dict[str, Any]) -> None:
            np.testing.assert_allclose(result.operator(np.ones(result.operator.matrix.shape[1])), 1)

        return Call("interpolate", ef.operators.interpolate, "", arguments, sums_to_one)
    if draw(st.booleans()):
        axes = draw(st.sampled_from([1, 2, 3]))
        arguments = given_as(draw, {"a": ((2, axes), "f8"), "b": ((3, axes), "f8")})

        def apart(result: Any, given: dict[str, Any]) -> None:
            assert not np.isnan(result).any(), "not finite"  # variables apart are infinitely far

        return Call(f"{name}.distances", grid, "distances", arguments, apart)
    strange = st.sampled_from([[dim], [-1], [0.5], "0", None, dim, 10**20, [[0]], slice(0, 2, 0)])
    usual = st.sampled_from([[0], slice(None), np.array([0]), [], 0])
    arguments = {"components": draw(mostly(usual, strange, 2))}

    def known(result: Any, given: dict[str, Any]) -> None:
        nowhere = np.isnan(result).all(axis=1) if "Parameters" in name else slice(0, 0)
        finite(np.delete(result, nowhere, axis=0))

    return Call(f"{name}.coordinates", grid, "coordinates", arguments, known)


@st.composite
def prior_calls(draw: Any) -> Call:
    """Priors fitted to a forecast, and asked."""
    dim, members, dtype = draw(DIMS), draw(MEMBERS), draw(FLOATS)
    prior = draw(priors())
    if not isinstance(prior, Spec):
        prior = Spec(ef.priors.EnsemblePrior)
    noising = Spec(ef.priors.Noising, draw(numbers(1.0, 0.5)), draw(numbers(0.25, 1e-6)))
    arrays = {"forecast": ((members, dim), dtype), "x": ((3, dim), dtype)}
    arguments = given_as(draw, arrays) | {"prior": prior, "noising": noising}
    which = draw(st.sampled_from(["score", "posterior_mean"]))

    def asked(prior: Any, forecast: Any, x: Any, noising: Any) -> Any:
        return getattr(prior.fit(forecast), which)(x, noising)

    name = f"{prior.make.__name__}.fit.{which}"
    return Call(name, asked, "", arguments, like("x"), words=["bandwidth", "variance", "scale"])


@st.composite
def experiment_calls(draw: Any) -> Call:
    """Twin experiments of a few cycles."""
    model, dim = draw(models())
    obs, _ = draw(observations(dim))
    options: dict[str, Any] = {
        "cycles": draw(counts(1, 2, 3)),
        "steps_per_cycle": draw(counts(1, 2)),
        "spinup": draw(counts(0, 3)),
        "initial_mean": draw(
            mostly(st.sampled_from(["zero", "truth"]), st.sampled_from(["", None, [0.0], np.nan]))
        ),
        "initial_std": draw(numbers(1.0, 0.1, 0.0)),
        "dtype": draw(mostly(FLOATS, st.sampled_from(["f2", "x", None, int]))),
        "track": draw(counts(2, 40)),
    }
    strange = st.sampled_from([None, text, "lorenz96"])
    twin = Spec(ef.TwinExperiment, draw(mostly(st.just(model), strange, 20)), obs, **options)
    arguments = {
        "filt": draw(mostly(filters(dim, BACKENDS), st.sampled_from([None, "enff"]), 20)),
        "members": draw(counts(2, 3, 5)),
        "seed": draw(mostly(st.integers(0, 3), st.sampled_from([-1, 1.5, "a", None, 2**70]))),
        "progress": False,
    }

    def check(result: Any, given: dict[str, Any]) -> None:
        for series in (result.rmse, result.spread, result.crps, result.energy_score):
            finite(series.forecast)
            finite(series.analysis)
        wanted = options["cycles"]
        assert result.cycles == wanted or result.stopped, f"{result.cycles} cycles, not stopped"

    return Call("TwinExperiment.run", twin, "run", arguments, check)


@st.composite
def assimilation_calls(draw: Any) -> Call:
    """Assimilations of a few windows, and departures of one."""
    dim, members, dtype = draw(DIMS), draw(MEMBERS), draw(FLOATS)
    obs, m = draw(observations(dim))
    if draw(st.booleans()):
        arrays = dict.fromkeys(("forecast", "analysis"), ((members, m), "f8"))
        arguments = given_as(draw, arrays | {"y": ((m,), "f8")})
        arguments |= {"obs": obs, "rng": draw(SEEDS)}
        compare = ef.diagnostics.departures
        # what is not finite is not known
        return Call("diagnostics.departures", compare, "", arguments, lambda *_: None, plain=True)
    usual = st.sampled_from([[0.0, 1.0], [0.0, 0.0, 2.0]])
    arguments = given_as(draw, {"ensemble": ((members, dim), dtype), "y": ((m,), dtype)}) | {
        "obs": obs,
        "times": draw(mostly(usual, st.sampled_from([[1.0, 0.0], [nan], ["x", 3], []]), 4)),
        "filt": draw(filters(dim, BACKENDS)),
        "start": draw(mostly(st.sampled_from([None, 0.0]), st.sampled_from([5.0, nan, "a"]), 8)),
        "seed": draw(mostly(st.integers(0, 3), st.sampled_from([-1, 1.5, "a", None, 2**70]))),
    }

    def through(y: Any, obs: Any, times: Any, filt: Any, start: Any, **rest: Any) -> Any:
        windows = [(time, y, obs) for time in times]
        run = ef.Assimilation(lambda x, *_: 0.5 * x, windows, start=start)
        result = run.run(filt, **rest, progress=False)
        assert result.cycles == len(times) or result.stopped
        return result.ensemble

    words = ["time", "window"]
    return Call("Assimilation.run", through, "", arguments, words=words)


@st.composite
def other_calls(draw: Any) -> Call:
    """What is left: paths, presets, the state of the installation."""
    kind = draw(st.sampled_from(["path", "preset", "config"]))
    if kind == "path":
        part = st.sampled_from([float, nan, text, None, 1.0, bowl])
        functions = {k: draw(part) for k in ("a1", "a0", "s", "da1", "da0", "ds")}
        path = Spec(ef.AffinePath, draw(WORDS), **functions, uses_previous=draw(BOOLS))
        arguments = {"t": draw(numbers(0.0, 0.5)), "strength": draw(numbers(0.0, 0.1))}
        return Call("AffinePath.stage", path, "stage", arguments)
    if kind == "preset":
        name = draw(mostly(st.sampled_from(sorted(ef.presets.PRESETS)), WORDS))
        return Call("presets.get", ef.presets.get, "", {"name": name}, words=["preset"])
    return Call("config", ef.config, "", {})


#: Strategies, and how many of a hundred calls are theirs.
ALL: dict[str, tuple[Any, int]] = {
    "analysis": (analysis, 30),
    "moments": (moments, 3),
    "filter": (filter_itself, 3),
    "pairwise": (pairwise, 10),
    "normals": (normals, 3),
    "kernel forms": (kernel_forms, 6),
    "analyses of arrays": (array_analyses, 4),
    "operators": (operator_calls, 8),
    "observations": (observation_calls, 8),
    "models": (model_calls, 8),
    "metrics": (metric_calls, 5),
    "inflations": (inflation_calls, 4),
    "places": (place_calls, 3),
    "priors": (prior_calls, 3),
    "experiments": (experiment_calls, 2),
    "assimilations": (assimilation_calls, 2),
    "others": (other_calls, 1),
}

__all__ = ["ALL", "BACKENDS", "NUMBERS"]
