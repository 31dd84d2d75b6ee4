"""What a filter is as an object: its options, copies, memory and names."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np

from .. import filters, grids, inflation, localization, models, operators, priors, transforms
from .problem import Problem, fail, same


def pickling(p: Problem) -> None:
    """Check that a filter pickles, and that what comes back is equal and gives the same bits."""
    arguments = p.inputs()
    wanted = p.analysis(arguments)
    for way, made in (
        ("pickle", pickle.loads(pickle.dumps(p.filt))),
        ("copy.deepcopy", copy.deepcopy(p.filt)),
    ):
        if p.is_ours and made != p.filt:
            fail(f"what {way} gives, {made!r}, is not equal to the filter", "an equal filter")
        found = dataclasses.replace(p, filt=made).analysis(arguments)
        same(found, wanted, f"the analysis of what {way} gives", "that of the filter")


def memory(p: Problem) -> None:
    """Check that `facts` are numbers by name, of the last analysis, and that `reset` forgets."""
    arguments = p.inputs()
    first = p.analysis(arguments)
    facts = p.filt.facts
    for name, value in facts.items():
        if not (isinstance(name, str) and np.isfinite(value)):
            fail(f"facts[{name!r}] is {value!r}", "finite numbers by name")
    p.filt.facts["of the caller"] = 1.0
    if "of the caller" in p.filt.facts:
        fail("what is written to facts stays there", "a copy, for the caller")
    p.filt.reset()
    if p.filt.facts:
        fail(f"after reset() facts are {p.filt.facts}", "none")
    for _ in range(3):
        p.filt.analysis(**arguments, rng=1)
    same(p.analysis(arguments), first, "the analysis after reset()", "that of a new filter")
    if p.filt.facts != facts:
        fail(f"facts are {p.filt.facts} of an analysis that had {facts}", "the same again")


def restoring(p: Problem) -> None:
    """Check that `restore` makes another filter go on as the one whose `state` it was given."""
    arguments = p.inputs()
    p.filt.reset()
    for seed in range(2):
        p.filt.analysis(**arguments, rng=seed)
    state = pickle.loads(pickle.dumps(p.filt.state()))
    kept = p.filt.state()
    wanted = [p.filt.analysis(**arguments, rng=seed) for seed in range(2, 4)]
    for what, given in (("a pickled state", state), ("a state from before", kept)):
        other = dataclasses.replace(p.filt)
        other.analysis(**arguments, rng=9)  # of which nothing may be left
        other.restore(given)
        found = [other.analysis(**arguments, rng=seed) for seed in range(2, 4)]
        for k, (one, two) in enumerate(zip(found, wanted, strict=True)):
            same(one, two, f"analysis {k} after {what} was restored", "that of the first filter")


def frozen(p: Problem) -> None:
    """Check that options can't be changed: another filter is `dataclasses.replace(filt, ...)`."""
    for option in dataclasses.fields(p.filt):
        value = getattr(p.filt, option.name)
        try:
            setattr(p.filt, option.name, value)
        except AttributeError:
            continue
        fail(f"the option {option.name} can be set", "a dataclass with frozen=True")
    if dataclasses.replace(p.filt) != p.filt:
        fail("dataclasses.replace(filt) is not equal to the filter", "an equal filter")


def names(p: Problem) -> None:
    """Check that `repr` evaluates to the filter, and that `describe()` looks like it.

    That is, unless an option, such as a function, has no such form itself.
    """
    kind = type(p.filt).__name__
    for what, text in (("repr", repr(p.filt)), ("describe()", p.filt.describe())):
        if not text.startswith(f"{kind}("):
            fail(f"{what} is {text!r}", f"{kind}(option=value, ...)")
        try:
            made = eval(text, _names() | {kind: type(p.filt)})
        except Exception:
            if "<" not in text:  # as in <function h at 0x...>
                raise
            continue
        if what == "repr" and made != p.filt:
            fail(f"{text} is not equal to the filter", "its repr to make it again")


def _names() -> dict[str, Any]:
    found: dict[str, Any] = {"np": np, "array": np.array, "inf": np.inf, "nan": np.nan}
    modules = (operators, grids, inflation, localization, priors, models, transforms, filters)
    for module in modules:
        found |= vars(module)
    return found
