"""Draw maps and profiles of the errors of ``examples/atmosphere.py``.

Run it with ``python docs/pictures/atmosphere.py 15`` (extras ``[atmosphere,plot]``), 15 being days;
it writes ``atmosphere.png`` beside itself, and prints what the example prints.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

HERE = Path(__file__).resolve()


def draw(run, path):
    """Draw what the example has found."""
    maps, rmse, z = (run[name] for name in ("maps", "rmse", "z"))
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    top, bottom = figure.subplots(2, 3)
    limit = np.sqrt(np.quantile(maps["free run"][20], 0.99))
    colors = {"norm": LogNorm(limit / 30, limit), "rasterized": True}
    for axes, (name, squares) in zip(top, maps.items(), strict=True):
        field = np.sqrt(squares[20])
        mesh = axes.pcolormesh(run["lon"], run["lat"], field, **colors)
        axes.plot(run["stations"][0] % 360, run["stations"][1], "r.", markersize=2)
        axes.set(title=name, xlabel="longitude", ylabel="latitude", xlim=run["lon"][[0, -1]])
    figure.colorbar(mesh, ax=top, label=f"error of t at {z['t'][4]:.0f} km, K")
    for axes, name, first, unit in zip(
        bottom, "utq", (0, 16, 24), ("m/s", "K", "g/kg"), strict=True
    ):
        for label, figures in rmse.items():
            axes.plot(figures[first : first + 8], z[name], ".-", label=label)
        axes.set(xlabel=f"RMSE of {name}, {unit}", ylabel="height, km", xlim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    examples = HERE.parents[2] / "examples"
    sys.path.insert(0, str(examples))
    draw(runpy.run_path(str(examples / "atmosphere.py")), HERE.with_suffix(".png"))
