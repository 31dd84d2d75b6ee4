"""The picture of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import panels

if TYPE_CHECKING:
    from .compare import Row


def accuracy_against_cost(rows: Sequence[Row], title: str) -> Any:
    """Draw RMSE against the seconds of one analysis, a point a filter, with bars over seeds.

    Parameters
    ----------
    rows : sequence of Row
        From `enfilt.experiments.compare.rows`; filters that lost the truth in every run are left
        out.
    title : str
        Of the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (axis,) = panels(1, 4.5)
    for k, row in enumerate(r for r in rows if np.isfinite(r.mean["rmse.analysis"])):
        x, y = row.mean["seconds"], row.mean["rmse.analysis"]
        bar = row.deviation["rmse.analysis"]
        axis.errorbar(x, y, yerr=bar if np.isfinite(bar) else None, fmt="o", color=f"C{k % 10}")
        axis.annotate(row.name, (x, y), xytext=(6, 4), textcoords="offset points")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.margins(x=0.15)  # room for the names
    axis.set_xlabel("seconds an analysis")
    axis.set_ylabel("RMSE of the analysis")
    axis.grid(visible=True, which="both", alpha=0.2)
    figure.suptitle(title, fontsize="medium")
    return figure
