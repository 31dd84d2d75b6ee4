"""What was timed, as a table, as JSON, and beside what was timed before."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .measure import FEWEST, Row
from .timing import machine, write_json

HEADER = (
    "case", "N", "D", "steps", "dtype", "beside", "ours, ms", "theirs, ms", "ratio", "target",
    "of the triad", "difference", "memory",
)  # fmt: skip

EXPLAINED = """\
ratio: theirs over ours, the median of pairs, with its quartiles. of the triad: the least time that
memory needs, over ours. difference: the largest of the two results. memory: peak beside the inputs,
ours and theirs, in ensembles."""


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table as text."""
    target = "" if row.target is None else f"{row.target:.3g}" + (" MISSED" if row.missed else "")
    if row.ratio is None:
        ratio = row.note
    else:
        ratio = f"{row.ratio:.3g} ({row.ratio_low:.3g} to {row.ratio_high:.3g})"
    apart = "" if row.difference is None else f"{row.difference:.1e} of {row.largest:.2g}"
    if row.ratio is not None and row.note:
        apart = "; ".join(filter(None, (apart, row.note)))
    rate = "" if row.ours is None else _percent(row.moved / row.triad / row.ours)
    memory = " / ".join(f"{m:.2f}" for m in (row.ours_memory, row.theirs_memory) if m is not None)
    if row.fills_memory:
        memory += f" MISSED {row.most_memory:.3g}"
    return (
        row.case, f"{row.members:,}", f"{row.dim:,}", f"{row.steps:,}", row.dtype,
        f"{row.beside} {row.version}".strip(), _milliseconds(row.ours), _milliseconds(row.theirs),
        ratio, target, rate, apart, memory,
    )  # fmt: skip


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %" if part >= 0.01 else f"{100 * part:.1g} %"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.4g}"


def markdown(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Return the table in Markdown, under a line of what it was measured on."""
    lines = [HEADER, *map(cells, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADER))]
    text = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    where = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{where}\n\n" + "\n".join(text) + f"\n\n{EXPLAINED}\n"


def write(rows: Sequence[Row], path: Path, sweeps: Sequence[Any] = ()) -> None:
    """Write rows, machine and sweeps as JSON."""
    report = {
        **machine(),
        "rows": [dataclasses.asdict(row) for row in rows],
        "sweeps": [dataclasses.asdict(sweep) for sweep in sweeps],
    }
    write_json(report, path)


def read(path: Path) -> list[Row]:
    """Return the rows of a file that `write` made.

    Raises
    ------
    ValueError
        If the file is none of them.
    """
    try:
        return [Row(**row) for row in json.loads(path.read_text())["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected a file written by enfilt bench --json ({error})"
        ) from None


@dataclasses.dataclass(frozen=True)
class Change:
    """A row measured twice."""

    old: Row
    new: Row

    @property
    def noise(self) -> float:
        """The larger of the two interquartile ranges of the paired ratios."""
        return max(_range(self.old), _range(self.new))

    @property
    def slower(self) -> bool:
        """Whether the ratio fell by more than the noise."""
        return (self.old.ratio or 0.0) - (self.new.ratio or 0.0) > self.noise

    def line(self) -> str:
        """Say what changed."""
        old, new = self.old, self.new
        text = (
            f"{new.case} (N {new.members:,}, D {new.dim:,}, steps {new.steps:,}, {new.dtype}) "
            f"beside {new.beside}: ratio {old.ratio:.3g} -> {new.ratio:.3g}, noise {self.noise:.2g}"
        )
        if old.version != new.version:
            text += f"; {new.beside} was {old.version}, is {new.version}"
        return text


def _range(row: Row) -> float:
    return (row.ratio_high or 0.0) - (row.ratio_low or 0.0)


def compare(new: Sequence[Row], old: Sequence[Row]) -> list[Change]:
    """Return what was measured in both, row by row.

    Ratios are compared, not times: those of another hour hardly say anything. Rows of fewer than
    three pairs have no noise to compare with, and are left out.

    Raises
    ------
    ValueError
        If nothing was measured in both.
    """
    before = {row.key: row for row in old if _comparable(row)}
    found = [Change(before[r.key], r) for r in new if _comparable(r) and r.key in before]
    if not found:
        raise ValueError(
            f"no row was measured in both, at the same sizes, threads and SIMD level, with "
            f"{FEWEST} pairs or more"
        )
    return found


def _comparable(row: Row) -> bool:
    return row.ratio is not None and row.pairs >= FEWEST
