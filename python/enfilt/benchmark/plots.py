"""Pictures of timings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._figures import blank
from .sweep import Sweep


def time_against(sweeps: Sequence[Sweep]) -> Any:
    """Draw the time of a case over each of its axes, with the floor that memory sets.

    Parameters
    ----------
    sweeps : sequence of Sweep
        Of one case, from `enfilt.benchmark.sweeps`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    labels = {"dim": "D", "members": "N", "steps": "steps", "threads": "threads"}
    figure = blank(3.6 * len(sweeps), 3.8)
    for panel, sweep in zip(figure.subplots(1, len(sweeps), squeeze=False)[0], sweeps, strict=True):
        panel.loglog(sweep.values, sweep.times, "o-", color="C0", label="enfilt")
        panel.loglog(sweep.values, sweep.floors, "--", color="0.4", label="memory, by the triad")
        fixed = [f"{labels[k]} = {v:,}" for k, v in sweep.size.items() if k in labels]
        panel.set_title(", ".join([*fixed, sweep.size["dtype"]]), fontsize="small")
        panel.set_xlabel(labels[sweep.axis])
        panel.grid(visible=True, which="both", alpha=0.2)
        if sweep.axis == "threads":
            panel.set_xticks(sweep.values, [str(v) for v in sweep.values])
            panel.set_xticks([], minor=True)
    panel = figure.axes[0]
    panel.set_ylabel("seconds")
    panel.legend(fontsize="small")
    figure.suptitle(sweeps[0].title, fontsize="medium")
    return figure
