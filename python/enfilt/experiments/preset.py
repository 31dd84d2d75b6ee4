"""What a preset is, and how its settings are changed by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _checks, operators
from .._values import Value
from ..filters import EnsembleFilter, registry
from ..observation import Observation
from .settings import options_of
from .twin import TwinExperiment


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
    twin : TwinExperiment
        Model, observations and cycles.
    filter : EnsembleFilter
        What is run on it.
    members : int
        N.
    published : Published, optional
        The figure to reach with exactly these settings.
    variants : sequence of Variant
        Other filters on this problem that figures were published for.
    quick : mapping
        Settings, as for `replace`, that make the run short and hardly change its error.
    rivals : mapping
        Other filters by their names in the shell, with options that suit this problem.
    beside : sequence of str
        The rivals whose scores are shown beside those of the preset's filter when it is run.
    operator_of : callable, optional
        From a model to the operator, where that depends on the model's size.
    """

    name: str
    title: str
    twin: TwinExperiment
    filter: EnsembleFilter
    members: int
    published: Published | None = None
    variants: Sequence[Variant] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)
    rivals: Mapping[str, EnsembleFilter] = field(default_factory=dict)
    beside: Sequence[str] = ()
    operator_of: Callable[[Any], operators.Operator] | None = None

    def filters(self, names: Iterable[str]) -> dict[str, EnsembleFilter]:
        """Return filters by name: the preset's own, its rivals, or with default options.

        Raises
        ------
        ValueError
            If a name is not known; the message gives the nearest one that is.
        ImportError, TypeError
            If another package's filter of that name can't be used.
        """
        chosen: dict[str, EnsembleFilter] = {}
        for name in names:
            kind = registry.named(name)
            tuned = self.filter if kind is type(self.filter) else self.rivals.get(name)
            if tuned is None:
                twin = self.twin
                tuned = kind.for_experiment(twin.model, twin.usual_obs, twin.steps_per_cycle)
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
        return min(50, self.twin.cycles) if self.published is None else self.published.last

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

    def settings(self) -> dict[str, Any]:
        """Return every setting by the name that `replace` takes."""
        found: dict[str, Any] = {"members": self.members}
        for name in _OF_TWIN:
            found[name] = getattr(self.twin, name)
        parts = {"model": self.twin.model, "obs": self.twin.obs, "filter": self.filter}
        if not isinstance(self.twin.obs, Observation):  # those that change have no one setting
            del parts["obs"]
        for part, value in parts.items():
            for name in options_of(value):
                found[f"{part}.{name}"] = getattr(value, name)
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
        of_twin = {name: own.pop(name) for name in _OF_TWIN if name in own}
        if self.operator_of is not None and "model" in parts:
            model = dataclasses.replace(self.twin.model, **parts["model"])  # type: ignore[type-var]
            parts.setdefault("obs", {}).setdefault("operator", self.operator_of(model))
        for part in {"model", "obs"} & set(parts):
            of_twin[part] = dataclasses.replace(getattr(self.twin, part), **parts[part])
        if of_twin:
            own["twin"] = dataclasses.replace(self.twin, **of_twin)
        if "filter" in parts:
            own["filter"] = dataclasses.replace(self.filter, **parts["filter"])
        preset = dataclasses.replace(self, **own)
        changes_figure = changes and set(changes) - {"filter.backend", "model.backend"}
        return dataclasses.replace(preset, published=None) if changes_figure else preset


#: Settings that belong to the twin experiment and are named without a part.
_OF_TWIN = (
    "cycles",
    "steps_per_cycle",
    "spinup",
    "initial_mean",
    "initial_std",
    "dtype",
    "track",
)
