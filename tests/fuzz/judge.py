"""What a call may do: give a finite answer of the right shape and dtype, or a named error."""

import inspect
import re
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from arrays import Recipe, made

#: Errors that say that an argument is wrong, or that numbers overflow.
NAMED = (TypeError, ValueError, FloatingPointError)


class Spec:
    """A value of the library's, written as the call that makes it."""

    def __init__(self, make: Callable[..., Any], *args: Any, **options: Any) -> None:
        self.make, self.args, self.options = make, args, options

    def __repr__(self) -> str:
        parts = [*map(repr, self.args), *(f"{k}={v!r}" for k, v in self.options.items())]
        name = getattr(self.make, "__qualname__", None) or repr(self.make)
        return f"{name}({', '.join(parts)})"

    def build(self) -> Any:
        """Return the value."""
        return self.make(*map(made, self.args), **{k: made(v) for k, v in self.options.items()})

    def names(self) -> set[str]:
        """Return the names of arguments, its own and those of values within."""
        found = set(self.options) | names_of(self.make)
        for value in (*self.args, *self.options.values()):
            if isinstance(value, Spec):
                found |= value.names()
        return found


def names_of(function: Callable[..., Any]) -> set[str]:
    """Return the names of a function's parameters."""
    try:
        return set(inspect.signature(function).parameters) - {"self", "args", "kwargs"}
    except (TypeError, ValueError):
        return set()


@dataclass
class Call:
    """A public call.

    Attributes
    ----------
    name : str
        Under which it is counted.
    subject : Spec, or a function
        What is called; of a Spec, `method` of the value made.
    method : str
        Empty: the making itself is the call.
    arguments : dict
        By name; recipes and specs are made.
    check : callable
        ``check(result, arguments as made)`` raises an AssertionError where the answer is wrong.
    words : iterable of str
        Names beside those of arguments that an error may use.
    plain : bool
        Whether it is a function of arrays as NumPy's are: what is not finite goes through it, and
        of an overflow NumPy's own warning is word enough.
    """

    name: str
    subject: Any
    method: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    check: Callable[[Any, dict[str, Any]], None] = lambda result, given: finite(result)
    words: Iterable[str] = ()
    plain: bool = False

    def __repr__(self) -> str:
        what = f"{self.subject!r}.{self.method}" if self.method else f"{self.subject!r}"
        if not isinstance(self.subject, Spec):
            what = self.name
        given = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())
        return f"{what}({given})" if self.method or self.arguments else what


@dataclass
class Record:
    """How often each call was made, refused and answered, and what was wrong."""

    made: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)


def variants(call: Call, backends: Iterable[str]) -> Iterator[Call]:
    """Yield the call as drawn, and on the other backends; and the first with unaligned arrays.

    To draw a call takes longer than to make it.
    """
    yield call
    owner = call.subject.options if isinstance(call.subject, Spec) else call.arguments
    for name in backends if "backend" in owner else ():
        if name == owner["backend"]:
            continue
        if isinstance(call.subject, Spec):
            other = Spec(call.subject.make, *call.subject.args, **owner | {"backend": name})
            yield replace(call, subject=other)
        else:
            yield replace(call, arguments=owner | {"backend": name})
    moved = {
        key: value._replace(layout="unaligned")
        for key, value in call.arguments.items()
        if isinstance(value, Recipe) and value.layout == "C"
    }
    if moved:
        yield replace(call, arguments=call.arguments | moved)


def run(call: Call, record: Record) -> str | None:
    """Make a call and judge it; return a short name of the failure, if it is one."""
    words = set(call.arguments) | set(call.words)
    subject = call.subject
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if isinstance(subject, Spec):
            words |= subject.names()
            record.made[subject.make.__qualname__] += 1
            try:
                subject = subject.build()
            except Exception as error:
                record.refused[call.subject.make.__qualname__] += 1
                return _judge_error(call.subject.make.__qualname__, error, words)
            if not call.method:
                return None
            function = getattr(subject, call.method)
        else:
            function = subject
        words |= names_of(function)
        for value in call.arguments.values():
            if isinstance(value, Spec):
                words |= value.names()
        given: dict[str, Any] = {}
        try:
            for name, value in call.arguments.items():
                given[name] = made(value)
        except Exception as error:  # an option of a value within
            return _judge_error(call.name, error, words)
        record.made[call.name] += 1
        try:
            result = function(**given)
        except Exception as error:
            record.refused[call.name] += 1
            return _judge_error(call.name, error, words)
    try:
        call.check(result, given)
    except AssertionError as error:
        warned = any(issubclass(w.category, RuntimeWarning) for w in said)
        if call.plain and "finite" in str(error) and (warned or not _all_finite(given)):
            return None
        return f"{call.name}: wrong answer: {error}"
    return None


def _judge_error(name: str, error: Exception, words: set[str]) -> str | None:
    if not isinstance(error, NAMED) or type(error) in (UnicodeDecodeError, UnicodeEncodeError):
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{name}: {type(error).__name__}: {str(error)[:300]} "
            f"({where.filename.rsplit('/', 2)[-1]}:{where.lineno})"
        )
    message = str(error)
    if traceback.extract_tb(error.__traceback__)[-1].filename.endswith("options.py"):
        return None  # a function of the user's has its own errors
    if not any(re.search(rf"\b{re.escape(word)}\b", message) for word in words):
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{name}: no name in {type(error).__name__}: {message[:300]} "
            f"({where.filename.rsplit('/', 2)[-1]}:{where.lineno})"
        )
    return None


def finite(result: Any) -> None:
    """Check that all numbers in an answer are finite."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        for part in result:
            finite(part)
    elif isinstance(result, np.ndarray | float | np.floating):
        numbers = np.asarray(result)
        if numbers.dtype.kind in "fc" and not np.isfinite(numbers).all():
            raise AssertionError(f"not finite: {numbers[~np.isfinite(numbers)].flat[0]}")


def _all_finite(given: dict[str, Any]) -> bool:
    arrays = [a for a in given.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    return all(np.isfinite(a).all() for a in arrays)


def like(name: str) -> Callable[[Any, dict[str, Any]], None]:
    """Return a check that the answer has shape and dtype of an argument, and is finite."""

    def check(result: Any, given: dict[str, Any]) -> None:
        wanted = given[name]
        shaped(np.shape(wanted), getattr(wanted, "dtype", np.dtype(float)))(result, given)

    return check


def shaped(shape: tuple[int, ...], dtype: Any) -> Callable[[Any, dict[str, Any]], None]:
    """Return a check that the answer is a finite array of a shape and dtype."""

    def check(result: Any, given: dict[str, Any]) -> None:
        assert isinstance(result, np.ndarray), f"no array but a {type(result).__name__}"
        assert result.shape == shape, f"shape {result.shape} for {shape}"
        assert result.dtype == dtype, f"dtype {result.dtype} for {dtype}"
        finite(result)

    return check


__all__ = [
    "Call",
    "Recipe",
    "Record",
    "Spec",
    "finite",
    "like",
    "names_of",
    "run",
    "shaped",
    "variants",
]
