"""What a preset is, and how its settings are changed by name."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _checks, inflation, localization, operators, priors
from .._values import Value
from ..filters import FILTERS, EnsembleFilter
from ..models import Model
from ..observation import Observation
from ..twin import TwinExperiment


@dataclass(frozen=True)
class Published:
    """A figure that the settings should reach.

    Parameters
    ----------
    rmse : float
        Of the analysis, averaged over the last cycles.
    low, high : float
        Within which a measured one counts as the same.
    last : int
        Over how many last cycles.
    source : str
        Who published it.
    """

    rmse: float
    low: float
    high: float
    last: int
    source: str


@dataclass(frozen=True, eq=False)
class Variant(Value):
    """Another published run of a preset's problem.

    Parameters
    ----------
    filter : EnsembleFilter
        The filter.
    members : int
        N.
    published : Published
        The figure to reach.
    """

    filter: EnsembleFilter
    members: int
    published: Published


@dataclass(frozen=True, eq=False)
class Preset(Value):
    """A named twin experiment with a filter: settings, their source, and the expected error.

    Parameters
    ----------
    name : str
        As in the shell.
    title : str
        One line about it.
    model, obs, filter
        What is run.
    members : int
        N.
    cycles, steps_per_cycle, spinup, initial_mean, initial_std, dtype
        Of the `TwinExperiment`.
    published : Published, optional
        The figure to reach with exactly these settings.
    variants : sequence of Variant
        Other filters on this problem that figures were published for.
    quick : mapping
        Settings, as for `replace`, that make the run short and hardly change its error.
    track : int
        How many components' courses are kept; for a Hovmoeller diagram all.
    rivals : mapping
        Other filters by their names in the shell, with options that suit this problem.
    beside : sequence of str
        The rivals whose scores are shown beside those of the preset's filter when it is run.
    operator_of : callable, optional
        From a model to the operator, where that depends on the model's size.
    """

    name: str
    title: str
    model: Model
    obs: Observation
    filter: EnsembleFilter
    members: int
    cycles: int
    steps_per_cycle: int
    spinup: int
    initial_mean: str = "zero"
    initial_std: float = 1.0
    dtype: str = "float64"
    published: Published | None = None
    variants: Sequence[Variant] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)
    track: int = 40
    rivals: Mapping[str, EnsembleFilter] = field(default_factory=dict)
    beside: Sequence[str] = ()
    operator_of: Callable[[Any], operators.Operator] | None = None

    def filters(self, names: Iterable[str]) -> dict[str, EnsembleFilter]:
        """Return filters by name: the preset's own, its rivals, or with default options.

        Raises
        ------
        ValueError
            If a name is not known; the message gives the nearest one that is.
        """
        chosen: dict[str, EnsembleFilter] = {}
        for name in names:
            kind = FILTERS[_checks.choice("filter", name, FILTERS)]
            tuned = self.filter if kind is type(self.filter) else self.rivals.get(name)
            if tuned is None:
                tuned = kind.for_experiment(self.model, self.obs, self.steps_per_cycle)
            chosen[name] = tuned
        return chosen

    def with_filter(self, name: str) -> Preset:
        """Return the preset with another filter, as `filters` finds it."""
        chosen = self.filters([name])[name]
        return (
            self
            if chosen is self.filter
            else dataclasses.replace(self, filter=chosen, published=None, beside=())
        )

    @property
    def averaged(self) -> int:
        """Over how many last cycles its scores are averaged."""
        return min(50, self.cycles) if self.published is None else self.published.last

    def quickly(self) -> Preset:
        """Return the preset as its `quick` settings make it; published figures stay."""
        smaller = self.replace(dict(self.quick))
        return dataclasses.replace(smaller, published=self.published)

    def runs(self) -> list[tuple[Preset, Published | None]]:
        """Return the preset, and once more for each variant, with the figure to reach."""
        found = [(self, self.published)]
        for variant in self.variants:
            other = dataclasses.replace(self, filter=variant.filter, members=variant.members)
            found.append((other, variant.published))
        return found

    def twin(self) -> TwinExperiment:
        """Return the twin experiment."""
        return TwinExperiment(
            self.model,
            self.obs,
            cycles=self.cycles,
            steps_per_cycle=self.steps_per_cycle,
            spinup=self.spinup,
            initial_mean=self.initial_mean,
            initial_std=self.initial_std,
            dtype=np.dtype(self.dtype),
            track=self.track,
        )

    def settings(self) -> dict[str, Any]:
        """Return every setting by the name that `replace` takes."""
        found: dict[str, Any] = {}
        for name in _OWN:
            found[name] = getattr(self, name)
        for part in _PARTS:
            for name in options_of(getattr(self, part)):
                found[f"{part}.{name}"] = getattr(getattr(self, part), name)
        return found

    def replace(self, changes: dict[str, Any]) -> Preset:
        """Return the preset with settings changed.

        Parameters
        ----------
        changes : dict
            From names such as ``"members"``, ``"filter.steps"``, ``"model.dim"`` to values.

        Raises
        ------
        ValueError
            If a name is not known; the message gives the nearest one that is.
        """
        known = self.settings()
        # all changes of a part at once: one may be allowed only beside another
        parts: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            if name not in known:
                hint = _checks.nearest(name, known) or f"; known are {', '.join(known)}"
                raise ValueError(f"{name} is no setting of {self.name}{hint}")
            part, _, option = name.rpartition(".")
            parts.setdefault(part, {})[option] = value
        own = parts.pop("", {})
        if self.operator_of is not None and "model" in parts:
            model = dataclasses.replace(self.model, **parts["model"])  # type: ignore[type-var]
            parts.setdefault("obs", {}).setdefault("operator", self.operator_of(model))
        changed = {p: dataclasses.replace(getattr(self, p), **o) for p, o in parts.items()}
        preset = dataclasses.replace(self, **own, **changed)
        changes_figure = changes and set(changes) - {"filter.backend", "model.backend"}
        return dataclasses.replace(preset, published=None) if changes_figure else preset


_OWN = (
    "members",
    "cycles",
    "steps_per_cycle",
    "spinup",
    "initial_mean",
    "initial_std",
    "dtype",
)
_PARTS = ("model", "obs", "filter")


def options_of(value: Any) -> list[str]:
    """Return the names of what a filter, model or the like is made with."""
    return [f.name for f in dataclasses.fields(value) if f.init]


def with_options(value: Any, changes: Mapping[str, Any]) -> Any:
    """Return a filter, model or the like with options changed.

    Raises
    ------
    ValueError
        If it has no such option; the message gives the nearest one that it has.
    """
    known = options_of(value)
    for name in changes:
        if name not in known:
            hint = _checks.nearest(name, known) or f"; known are {', '.join(known)}"
            raise ValueError(f"{name} is no option of {type(value).__name__}{hint}")
    return dataclasses.replace(value, **changes)


def parse_value(text: str) -> Any:
    """Return the value that a setting's text means.

    A Python literal (``19``, ``0.05``, ``None``), an operator, inflation, localization or prior
    by its name and options (``Arctan() @ Every(2)``, ``RTPS(0.3)``, ``GaspariCohn(12)``), or else
    the text itself.

    Examples
    --------
    >>> parse_value("19"), parse_value("f2p"), parse_value("Every(2, offset=1)")
    (19, 'f2p', Every(k=2, offset=1))
    """
    try:
        # a ValueError from in here is the operator's own, and says what is wrong
        return _evaluate(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return text


def _maker(node: ast.expr) -> type | None:
    """Return the operator, inflation, localization or prior that a call names."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        for module in (operators, inflation, localization, priors):
            made = getattr(module, node.func.id, None)
            if isinstance(made, type):
                return made
    return None


def _evaluate(node: ast.expr) -> Any:
    made = _maker(node)
    if made is not None and isinstance(node, ast.Call):
        options = {k.arg: _evaluate(k.value) for k in node.keywords if k.arg}
        return made(*[_evaluate(a) for a in node.args], **options)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return _evaluate(node.left) @ _evaluate(node.right)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise SyntaxError(str(error)) from None
