"""Departures from observations, kept cycle by cycle, by kind and level."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..filters import EnsembleFilter
from ..observation import Observation
from ..quality import Flag
from .cycle import Seen
from .departures import SUMS, Statistics, departures
from .innovations import Innovations
from .records import Records

Array = npt.NDArray[Any]
Group = tuple[Hashable, int | None]


class InnovationLog:
    """What `Innovations` are made of, while a run goes on.

    Parameters
    ----------
    members : int
        N.
    entropy
        Of the run's seed.
    levels : tuple of float
        Heights between levels.
    kept : int, optional
        Of how many last cycles rows are kept; None: of all.
    """

    def __init__(
        self, members: int, entropy: Any, levels: tuple[float, ...] = (), kept: int | None = None
    ) -> None:
        self._members, self._entropy, self._levels, self._kept = members, entropy, levels, kept
        self._groups: list[Group] = []
        self._rows = Records()
        self._known: tuple[Observation, list[Group], npt.NDArray[np.int64]] | None = None

    def record(
        self,
        cycle: int,
        seen: Seen,
        forecast: Array,
        analysis: Array,
        filt: EnsembleFilter | None,
    ) -> Statistics:
        """Keep the departures of a cycle, and return what all of them come to."""
        total = np.zeros(len(SUMS))
        if seen.y is not None and seen.obs is not None:
            flags = None if filt is None else filt.flags  # those of this cycle
            for row in self._departures(cycle, seen, seen.obs, forecast, analysis, flags):
                total += row["sums"]
                self._rows.append(row)
            if self._kept is not None:
                # as many rows as there may be of so many cycles
                self._rows.keep(self._kept * len(self._groups))
        return Statistics.of(total)

    def state(self) -> dict[str, Any]:
        """Return all that it needs to go on."""
        return {
            "entropy": self._entropy,
            "groups": list(self._groups),
            "rows": self._rows.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._entropy, self._groups = state["entropy"], list(state["groups"])
        self._rows.restore(state["rows"])

    def result(self, begin: int, cycles: int) -> Innovations:
        """Return the statistics of the cycles from `begin` on, of so many that were completed."""
        rows = self._rows.arrays()
        empty = {
            "cycle": np.empty(0, np.int64),
            "group": np.empty(0, np.int64),
            "sums": np.empty((0, len(SUMS))),
            "ranks": np.empty((0, self._members + 1), np.int64),
        }
        return Innovations(
            cycles=cycles,
            groups=list(self._groups),
            edges=self._levels,
            begin=begin,
            **{name: rows.get(name, array) for name, array in empty.items()},
        ).between(cycles)

    def _departures(
        self,
        cycle: int,
        seen: Seen,
        obs: Observation,
        forecast: Array,
        analysis: Array,
        flags: npt.NDArray[np.int8] | None,
    ) -> list[dict[str, Any]]:
        """Return a row for each group of observations."""
        y = np.array(_checks.plain("y", _arrays.to_host(seen.y), missing=True), np.float64)
        if flags is not None:
            y[flags == Flag.REJECTED] = np.nan
        before, after = seen.observed, None
        with np.errstate(over="ignore", invalid="ignore"):  # not finite is not known
            if before is None:
                # at the time of the window; values of other times have no analysis beside them
                before = obs.observe(forecast, y.size)
                after = _arrays.to_host(obs.observe(analysis, y.size))
        # a key of the cycle: nothing to remember, and nothing that the filter would notice
        rng = np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=(4, cycle)))
        found = departures(y, obs, _arrays.to_host(before), after, rng=rng)
        groups, which = self._groups_of(obs, y.size)
        rows = []
        for k, group in enumerate(groups):
            chosen = slice(None) if len(groups) == 1 else which == k
            if group not in self._groups:
                self._groups.append(group)
            rows.append(
                {
                    "cycle": cycle,
                    "group": self._groups.index(group),
                    "sums": found.sums(chosen),
                    "ranks": found.ranks(chosen),
                }
            )
        return rows

    def _groups_of(self, obs: Observation, m: int) -> tuple[list[Group], npt.NDArray[np.int64]]:
        """Return the groups of observations, and which of them each is in, (m,)."""
        if self._known is not None and self._known[0] is obs and len(self._known[2]) == m:
            return self._known[1:]
        labels: list[list[Any]] = []
        for name in ("kinds", "heights"):
            values = getattr(obs, name)
            if values is None or (name == "heights" and not self._levels):
                labels.append([None] * m)
                continue
            if np.shape(values) not in ((), (m,)):
                raise ValueError(
                    f"{name} of observations has shape {np.shape(values)}: expected ({m},)"
                )
            if name == "heights":
                values = np.where(
                    np.isnan(values), -1, np.searchsorted(self._levels, values, side="right")
                )
            labels.append(np.broadcast_to(values, m).tolist())
        found: dict[Group, int] = {}
        which = [
            found.setdefault((kind, None if level == -1 else level), len(found))
            for kind, level in zip(*labels, strict=True)
        ]
        self._known = obs, list(found), np.array(which, np.int64)
        return self._known[1:]
