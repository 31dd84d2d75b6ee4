"""Values that calls are given: operators, observations, grids, inflations, priors, filters."""

import math
from typing import Any

import numpy as np
from arrays import COUNTS, NUMBERS, Recipe, mostly, odd, recipes
from hypothesis import strategies as st
from judge import Spec

import enfilt as ef
from enfilt import backends
from enfilt.filters import FILTERS

ops, infl, pri = ef.operators, ef.inflation, ef.priors


def bowl(x):
    """An operator of the user's."""
    return x**2


def bowl_vjp(x, u):
    """Its gradient."""
    return 2 * x * u


def constant(t):
    """A strength."""
    return 0.1


def negative(t):
    """A strength that is none."""
    return -1.0


def text(*args):
    """A function that returns what nobody wants."""
    return "no number"


def nan(*args):
    """A function that returns no number."""
    return math.nan


def flat_taper(distance):
    """A taper of the user's."""
    return np.exp(-np.asarray(distance))


FUNCTIONS = st.sampled_from([constant, negative, text, nan, math.cos])
BOOLS = st.sampled_from([True, False, np.True_, 0, 1, None, "yes"])
WORDS = st.sampled_from(["", "f2p", "euler", "ode", "F2P", None, 3, b"ot", "\x00", "é"])
SEEDS = mostly(
    st.sampled_from([0, 1, 2**64, None]), st.sampled_from([-1, 1.5, "a", [1, 2], True, np.int64(3)])
)


def backend_names(chosen: list[str]) -> st.SearchStrategy:
    """Draw the name of a backend."""
    return mostly(
        st.sampled_from(["auto", *chosen]), st.sampled_from(["cuda", "", None, "CPP", 1]), calm=30
    )


def numbers(*usual: float) -> st.SearchStrategy:
    """Draw a real number."""
    return mostly(st.sampled_from(usual), NUMBERS, calm=9)


def counts(*usual: int) -> st.SearchStrategy:
    """Draw an integer."""
    return mostly(st.sampled_from(usual), COUNTS, calm=9)


def choices(*usual: str) -> st.SearchStrategy:
    """Draw a name."""
    return mostly(st.sampled_from(usual), WORDS, calm=15)


@st.composite
def operators(draw: Any, dim: int, depth: int = 1) -> Spec:
    """Draw an observation operator for states of `dim` components, or for others."""
    kinds = ["identity", "arctan", "tanh", "sigmoid", "power", "subset", "every", "mask", "linear",
             "custom"]  # fmt: skip
    kind = draw(st.sampled_from([*kinds, "compose"] if depth else kinds))
    if kind == "sigmoid":
        return Spec(ops.Sigmoid, alpha=draw(numbers(1.0, -2.0, 50.0)))
    if kind == "power":
        return Spec(ops.Power, draw(numbers(1, 2, 3, 0.5, 1.5, 64)))
    if kind == "subset":
        usual = st.lists(st.integers(0, dim - 1), min_size=1, max_size=4)
        strange = st.sampled_from([[], [dim], [-1], [0.5], "0", None, [[0]], [2**63], [True], 0])
        return Spec(ops.Subset, draw(mostly(usual, strange)))
    if kind == "every":
        return Spec(ops.Every, draw(counts(1, 2, 3)), draw(counts(0, 0, 0, 1)))
    if kind == "mask":
        seen = [draw(st.booleans()) for _ in range(min(dim, 6))]
        seen = (seen * dim)[:dim]
        return Spec(ops.Mask, draw(mostly(st.just(seen), st.sampled_from([[], [1], None, [seen]]))))
    if kind == "linear":
        shape = (draw(st.integers(1, 4)), dim)
        return Spec(ops.Linear, draw(mostly(recipes(shape), odd(shape), calm=9)))
    if kind == "custom":
        h = draw(mostly(st.just(bowl), st.sampled_from([text, nan, np.sum, None, 3]), calm=9))
        return Spec(ops.Custom, h, draw(st.sampled_from([bowl_vjp, bowl_vjp, None, text])))
    if kind == "compose":
        inner = draw(operators(dim, 0))
        return Spec(ops.Compose, draw(operators(observed(inner, dim), 0)), inner)
    return Spec(getattr(ops, kind.capitalize()))


def observed(operator: Spec, dim: int) -> int:
    """Return m where an operator has one."""
    try:
        return operator.build().size(dim)
    except Exception:
        return dim


@st.composite
def grids(draw: Any, dim: int) -> Any:
    """Draw the places of `dim` components."""
    kind = draw(st.sampled_from(["ring", "ring", "line", "plane", "points", "odd", "more"]))
    if kind == "more":
        ring = Spec(ef.grids.RegularGrid, (max(1, dim - 2),))
        names = mostly(st.sampled_from([2, ["a", "b"]]), st.sampled_from([0, text, None, [2, 2]]))
        return Spec(ef.geometry.WithParameters, ring, draw(names), draw(numbers(1.0, 0.3)))
    if kind == "points":
        return Spec(ef.grids.Points, draw(mostly(recipes((dim, 2)), odd((dim, 2)))))
    if kind == "odd":
        strange = st.sampled_from(
            [(), (0,), (dim + 1,), (1, 2, 3), "ring", None, (dim, 1.0), [dim]]
        )
        return Spec(ef.grids.RegularGrid, draw(strange), periodic=draw(BOOLS))
    shape = (dim,) if kind != "plane" or dim % 2 else (2, dim // 2)
    options = {}
    if draw(st.integers(0, 5)) == 0:
        options["spacing"] = draw(numbers(0.5, 1.0, 1e-3))
    if draw(st.integers(0, 5)) == 0 and dim % 3 == 0:
        shape = (dim // 3,)
        options |= {"variables": 3, "between_variables": draw(BOOLS)}
    return Spec(ef.grids.RegularGrid, shape, periodic=kind != "line", **options)


@st.composite
def tapers(draw: Any) -> Spec:
    """Draw a localization."""
    cutoff = draw(numbers(3.0, 1.5, 100.0, math.inf))
    if draw(st.integers(0, 4)):
        return Spec(ef.localization.GaspariCohn, cutoff)
    taper = st.sampled_from(["step", "gaspari-cohn", flat_taper, text, nan, "box", None])
    return Spec(ef.localization.Taper, cutoff, draw(taper))


@st.composite
def inflations(draw: Any) -> Any:
    """Draw an inflation."""
    kind = draw(
        st.sampled_from(["none", "none", "number", "multiplicative", "rtpp", "rtps", "own"])
    )
    if kind == "none":
        return 1.0
    if kind == "number":
        return draw(numbers(1.1, 2, 0.5))
    if kind == "multiplicative":
        return Spec(infl.Multiplicative, draw(numbers(1.1, 0.9)))
    if kind == "own":
        return Spec(infl.Adaptive)
    return Spec(getattr(infl, kind.upper()), draw(numbers(0.5, 1.0, 0.0)))


@st.composite
def observations(draw: Any, dim: int) -> tuple[Spec, int]:
    """Draw an observation and m."""
    operator = draw(operators(dim))
    m = observed(operator, dim)
    std = draw(numbers(0.5, 0.05, 2.0))
    if draw(st.integers(0, 3)) == 0:
        std = draw(mostly(st.just(Recipe((m,), fill="unit", special=((0, 0.5),))), odd((m,)), 4))
    options: dict[str, Any] = {}
    if draw(st.integers(0, 3)):
        options["grid"] = draw(grids(dim))
    if draw(st.integers(0, 7)) == 0:
        options["locations"] = draw(mostly(recipes((m, 1)), odd((m, 1))))
    if draw(st.integers(0, 7)) == 0:
        options["quality"] = Spec(ef.quality.GrossError, draw(numbers(3.0, 0.5)))
    if draw(st.integers(0, 15)) == 0:
        options["heights"] = draw(mostly(recipes((m,)), odd((m,))))
        options["kinds"] = draw(st.sampled_from(["t", ["t"] * m, 3, None]))
    operator = draw(mostly(st.just(operator), st.sampled_from([None, "arctan", bowl]), calm=30))
    return Spec(ef.Observation, operator, std, **options), m


@st.composite
def priors(draw: Any) -> Any:
    """Draw a prior."""
    kind = draw(st.sampled_from(["ensemble", "gaussian", "localized", "odd"]))
    if kind == "ensemble":
        return Spec(pri.EnsemblePrior, draw(numbers(0.0, 0.3)))
    if kind == "gaussian":
        return Spec(pri.GaussianPrior)
    if kind == "localized":
        return Spec(pri.GaussianPrior, draw(tapers()))
    return draw(st.sampled_from([None, "ensemble", pri.EnsemblePrior]))


#: What each option may be, by its name: names are the same in all filters.
OPTIONS: dict[str, st.SearchStrategy] = {
    "path": choices("f2p", "ot", "ve"),
    "guidance": mostly(
        st.sampled_from(["local", "none", "monte-carlo", "covariance"]),
        st.sampled_from([text, nan, None]),
    ),
    "steps": counts(1, 2, 3, 9),
    "sigma_min": numbers(0.01, 0.5, 1e-3),
    "strength": mostly(numbers(0.05, 0.5), FUNCTIONS),
    "sampler": choices("euler", "heun", "sde", "ode"),
    "coupling": choices("paired", "independent"),
    "algorithm": choices("auto", "streaming", "reduced"),
    "localization": mostly(tapers(), st.just(Spec(ef.localization.FromEnsemble))),
    "growth": numbers(10.0, 1.0),
    "eps_alpha": numbers(0.6, 0.05, 1.0),
    "eps_beta": numbers(0.075, 0.0, 0.5),
    "score": choices("mixture", "paired"),
    "score_limit": numbers(50.0, 1.0),
    "standardize_start": BOOLS,
    "regress_unobserved": BOOLS,
    "damping": mostly(st.sampled_from(["half", "linear", constant]), FUNCTIONS),
    "mode": choices("endpoint", "published"),
    "prior": priors(),
    "schedule": choices("cosine", "linear"),
    "prior_weight": mostly(numbers(1.0, 0.5), FUNCTIONS),
    "guidance_weight": mostly(numbers(1.0, 0.5), FUNCTIONS),
    "sigma": numbers(25.0, 0.1, 2.0),
    "step_size": numbers(1e-3, 0.1),
    "anneal_init": numbers(1e-3, 0.0, 1.0),
    "anneal_decay": numbers(0.5, 0.0, 1.0),
    "anneal_steps": counts(1, 2),
    "resampling": choices("systematic", "residual", "multinomial"),
    "threshold": numbers(1.0, 0.5, 0.0),
    "jitter": numbers(0.0, 0.5, 2.0),
    "method": choices("perturbed", "denkf", "transform", "bundle"),
    "rotate": BOOLS,
    "steps_per_cycle": counts(1, 2),
    "iterations": counts(1, 3),
    "lag": counts(1, 2, 3),
    "wtol": numbers(1e-5, 0.1),
    "inflation": inflations(),
    "parameter_inflation": mostly(st.none(), inflations(), 3),
}


@st.composite
def filters(draw: Any, dim: int, chosen: list[str], kind: Any = None) -> Spec:
    """Draw a filter, with some options other than by default."""
    kind = kind or draw(st.sampled_from(sorted(set(FILTERS.values()), key=lambda k: k.__name__)))
    fields = [name for name in kind.__dataclass_fields__ if not name.startswith("_")]
    options: dict[str, Any] = {"backend": draw(backend_names(chosen))}
    if "steps" in fields:
        options["steps"] = draw(OPTIONS["steps"])
    for name in fields:
        needed = name in ("localization", "model", "steps_per_cycle") and name not in ("steps",)
        optional = kind.__dataclass_fields__[name].default is None
        if name == "model":
            strange = st.sampled_from([None, text, "lorenz96"])
            usual = st.just(Spec(ef.models.Lorenz96, dim=max(4, dim), dt=0.01))
            options[name] = draw(mostly(usual, strange))
        elif name == "steps" or name not in OPTIONS:
            continue
        elif (needed and not optional) or draw(st.integers(0, 3)) == 0:
            options[name] = draw(OPTIONS[name])
    return Spec(kind, **options)


@st.composite
def smoothers(draw: Any, dim: int, chosen: list[str]) -> Spec:
    """Draw a smoother of a filter, most of them of one that it is for."""
    kind = draw(mostly(st.sampled_from([ef.ETKF, ef.LETKF, ef.LEnFF, ef.EnKF]), st.none()))
    return Spec(ef.EnKS, draw(filters(dim, chosen, kind)), lag=draw(OPTIONS["lag"]))


@st.composite
def transformed(draw: Any, dim: int, chosen: list[str]) -> Spec:
    """Draw a filter of transformed variables, most of them such that any number has a transform."""
    kinds = ef.transforms
    usual = st.sampled_from(
        [
            Spec(kinds.RankGaussian),
            Spec(kinds.RankGaussian, -1e300, 1e300),
            Spec(kinds.Logit, -1e4, 1e4),
            Spec(kinds.Log),
        ]
    )
    transform = draw(mostly(usual, st.sampled_from([None, "log", 1.0])))
    if draw(st.booleans()):
        return Spec(ef.Transformed, draw(filters(dim, chosen)), transform)
    variables = mostly(
        st.just({"q": slice(0, max(1, dim // 2))}), st.sampled_from([None, {"q": [dim]}, {}])
    )
    transforms = Spec(of_q, transform)
    return Spec(ef.Transformed, draw(filters(dim, chosen)), transforms, draw(variables))


def of_q(transform: Any) -> dict[str, Any]:
    """Return the transform of one variable."""
    return {"q": transform}


def every_backend() -> list[str]:
    """Return the names of the backends that are here."""
    return backends.available()
