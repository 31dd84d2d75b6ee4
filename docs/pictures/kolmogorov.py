"""Animate the Kolmogorov flow: truth, analysis mean, and the error, cycle by cycle.

The preset ``kolmogorov-128``, its vorticity. Run it with ``python docs/pictures/kolmogorov.py``
(extra ``[plot]``); it writes ``kolmogorov.gif`` beside itself.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from enfilt import presets


def states(preset, seed):
    """Yield truth and analysis mean of each cycle as vorticity, (n, n)."""
    truth_rng, error_rng, ensemble_rng, filter_rng = np.random.default_rng(seed).spawn(4)
    model, obs, filt = preset.twin.model, preset.twin.obs, preset.filter
    obs = type(obs)(obs.operator, obs.std, grid=model.grid)
    dtype = np.dtype(preset.twin.dtype)
    truth = model.step(model.initial_state(truth_rng).astype(dtype), preset.twin.spinup)
    noise = ensemble_rng.standard_normal((preset.members, model.dim)).astype(dtype)
    analysis = forecast = truth + dtype.type(preset.twin.initial_std) * noise
    for cycle in range(preset.twin.cycles):
        if cycle:
            truth = model.step(truth, preset.twin.steps_per_cycle)
            forecast = model.step(analysis, preset.twin.steps_per_cycle)
        y = obs.simulate(truth, error_rng)
        analysis = filt.analysis(forecast, y, obs, previous=analysis, rng=filter_rng)
        yield model.vorticity(truth), model.vorticity(analysis.mean(axis=0))


def main() -> None:
    """Write the animation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".gif"))
    options = parser.parse_args()
    preset = presets.get("kolmogorov-128")
    figure = Figure(figsize=(7.2, 2.7), dpi=65, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    images, frames = [], []
    for cycle, (truth, mean) in enumerate(states(preset, options.seed)):
        if cycle % 2:  # half the frames tell as much
            continue
        if not images:
            limit = float(np.quantile(np.abs(truth), 0.999))
            for axis, name in zip(axes, ("truth", "analysis mean", "error"), strict=True):
                images.append(axis.imshow(truth, "RdBu_r", vmin=-limit, vmax=limit, origin="lower"))
                axis.set_title(name, fontsize="medium")
                axis.set_xticks([])
                axis.set_yticks([])
            every = np.arange(0, len(truth), 10)
            axes[0].plot(*map(np.ravel, np.meshgrid(every, every)), ".k", ms=1)
        for image, values in zip(images, (truth, mean, mean - truth), strict=True):
            image.set_data(values)
        axes[2].set_xlabel(f"cycle {cycle}")
        canvas.draw()
        frame = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        # few colours and no dithering: a tenth of the size
        frames.append(frame.quantize(48, dither=Image.Dither.NONE))
    frames[0].save(
        options.out, save_all=True, append_images=frames[1:], duration=200, loop=0, optimize=True
    )
    print(options.out)


if __name__ == "__main__":
    main()
