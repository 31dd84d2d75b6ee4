"""The picture of a search."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import blank

if TYPE_CHECKING:
    from ..filters.knobs import Knob
    from .tuning import Tuning


def landscape(tuning: Tuning) -> Any:
    """Draw the error of every trial over each pair of knobs, or over the only one.

    Colours are errors, crosses runs that diverged, the star is the best. Values without a number
    stand beyond the numbers, on a line with their name.

    Parameters
    ----------
    tuning : Tuning
        From `enfilt.tune`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(tuning.knobs)
    error = np.array([trial.rmse for trial in tuning.trials])
    kept = np.isfinite(error)
    places = {n: _beyond(knob) for n, knob in tuning.knobs.items()}
    values = {
        n: np.array([places[n].get(v, v) for t in tuning.trials for v in (t.values[n],)])
        for n in names
    }
    pairs = list(itertools.combinations(names, 2)) or [(names[0], "")]
    figure = blank(4.6 * len(pairs), 4.2)
    best = {n: places[n].get(v, v) for n, v in tuning.best.values.items()}
    for axis, (first, second) in zip(
        figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True
    ):
        across = values[first]
        if second:
            up, at = values[second], best[second]
            shown = axis.scatter(across[kept], up[kept], c=np.log10(error[kept]), cmap="viridis_r")
            axis.plot(across[~kept], up[~kept], "x", color="0.6", label="diverged")
            figure.colorbar(shown, ax=axis, label="log10 RMSE")
            _knob_axis(axis, "y", tuning.knobs[second])
        else:
            at = tuning.best.rmse
            axis.plot(across[kept], error[kept], "o")
            for x in across[~kept]:
                axis.axvline(x, color="0.6", lw=0.8, ls=":", label="diverged")
            axis.set_ylabel("RMSE of the analysis")
            axis.set_yscale("log")
        if kept.any():
            axis.plot(best[first], at, "*", color="C3", ms=14, mec="white", label="best")
        _knob_axis(axis, "x", tuning.knobs[first])
    preset = tuning.preset
    figure.suptitle(
        f"{type(tuning.start).__name__} on {preset.name}, N = {preset.members}, "
        f"{len(tuning.trials)} trials ({np.sum(~kept)} diverged)",
        fontsize="medium",
    )
    return figure


def _beyond(knob: Knob) -> dict[Any, float]:
    """Return where on the axis values without a number stand, by their names."""
    step = (knob.high / knob.low) ** 0.12 if knob.log else 0.12 * (knob.high - knob.low)
    steps = {name: step**k if knob.log else step * k for k, name in enumerate(knob.others, 1)}
    return {name: knob.high * s if knob.log else knob.high + s for name, s in steps.items()}


def _knob_axis(panel: Any, letter: str, knob: Knob) -> None:
    from matplotlib.ticker import LogLocator

    label = knob.label + (" (grid spacings)" if knob.label == "cutoff" else "")
    panel.set(**{f"{letter}label": label})
    for name, place in _beyond(knob).items():
        line, turned = (panel.axvline, 90) if letter == "x" else (panel.axhline, 0)
        line(place, color="0.8", lw=0.8, zorder=0)
        place_of = (place, 0.02) if letter == "x" else (0.02, place)
        side = panel.get_xaxis_transform() if letter == "x" else panel.get_yaxis_transform()
        panel.text(
            *place_of, name, transform=side, rotation=turned, fontsize="x-small", va="bottom"
        )
    if knob.log:
        panel.set(**{f"{letter}scale": "log"})
        axis = getattr(panel, f"{letter}axis")
        wide = knob.high / knob.low > 100
        axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
