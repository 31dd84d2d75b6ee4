"""What `enfilt bench` does; the options are read in `enfilt.cli`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._files import replacing
from . import measure, report, sweep, timing


def bench(
    names: Sequence[str],
    changes: Mapping[str, Any],
    *,
    quick: bool,
    repeat: int,
    json: Path | None,
    old: Path | None,
    pictures: Path | None,
    say: Callable[[str], None],
) -> bool:
    """Time cases, say the table, write what is asked for; return whether nothing got slower.

    Raises
    ------
    ImportError, TypeError, ValueError
        As `run` does, if a file to compare with is none, and if there is nothing to compare.
    """
    before = report.read(old) if old is not None else None  # may fail, so before all the timing
    rows = measure.run(names, changes, quick=quick, repeat=repeat)
    if not rows:
        raise ValueError("no row was completed")
    say(report.markdown(rows, timing.machine()))
    curves = []
    if pictures is not None:
        curves = sweep.sweeps(names, changes, quick=quick, repeat=min(repeat, 5))
    if json is not None:
        report.write(rows, json, curves)
        say(f"wrote {json}")
    if pictures is not None:
        for path in draw(curves, pictures):
            say(f"wrote {path}")
    if before is None:
        return True
    slower = [change for change in report.compare(rows, before) if change.slower]
    for change in slower:
        say(f"slower: {change.line()}")
    if not slower:
        say(f"nothing is slower than in {old} by more than the noise")
    return not slower


def draw(curves: Sequence[sweep.Sweep], folder: Path) -> list[Path]:
    """Write one picture a case to a folder; return their paths.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from . import plots  # matplotlib is an extra, and slow to import

    written = []
    for case in dict.fromkeys(curve.case for curve in curves):
        figure = plots.time_against([curve for curve in curves if curve.case == case])
        written.append(folder / f"bench-{case}.png")
        with replacing(written[-1]) as temporary:
            figure.savefig(temporary, format="png")
    return written
