"""A run that is killed, and taken up again: what the processes of `test_restart.py` do."""

import pickle
import time
from pathlib import Path

import numpy as np

import enfilt as ef

DIM = 12
RING = ef.grids.RegularGrid((DIM,))
OBS = ef.Observation(ef.operators.Every(2), std=0.7, grid=RING, kinds=["a", "b"] * 3)


class Drifting(ef.Model):
    """Lorenz-96 with noise, and a drift of its own that no row of the ensemble holds."""

    def __init__(self, pause=0.0):
        self.model = ef.models.Lorenz96(dim=DIM, dt=0.05, model_noise=0.1)
        self.drift, self.pause = np.zeros(DIM), pause

    def __call__(self, ensemble, start, stop, rng):
        time.sleep(self.pause)
        self.drift = 0.9 * self.drift + 0.01 * rng.standard_normal(DIM)
        steps = round((stop - start) / self.model.dt)
        return self.model.step(ensemble, steps, rng=rng) + self.drift

    def save(self):
        return {"drift": self.drift.copy()}

    def load(self, state):
        self.drift = state["drift"].copy()


def windows(cycles):
    rng = np.random.default_rng(0)
    model = ef.models.Lorenz96(dim=DIM, dt=0.05)
    truth = model.step(model.initial_state(rng), 200)
    for k in range(cycles):
        truth = model.step(truth, 2)
        yield 0.1 * k, OBS.simulate(truth, rng), OBS


def assimilation(cycles, pause=0.0, to=None, **options):
    """A filter that remembers, a model that remembers, and noise of both."""
    model = Drifting(pause)
    ensemble = np.random.default_rng(1).standard_normal((8, DIM))
    run = ef.Assimilation(model, windows(cycles), analysis_to=to)
    filt = ef.LEnFF(inflation=ef.inflation.Adaptive())
    return run.run(filt, ensemble=ensemble, seed=3, progress=False, **options), model


def work(folder, cycles, pause, every, store, started):
    """Go on with the run, and write down what it comes to once it is through."""
    folder = Path(folder)
    started.send(True)
    to = ef.sinks.Zarr(folder / "analysis.zarr") if store else None
    result, model = assimilation(
        cycles, pause, to, checkpoint=folder / "run.checkpoint", every=every, resume=True
    )
    (folder / "whole.pickle").write_bytes(pickle.dumps((bits(result), model.drift)))


def bits(result):
    """What has to be the same in every run: all but what clocks tell."""
    of = result.innovations
    arrays = {n: getattr(result, n) for n in ("time", "mean", "deviation", "ensemble")}
    arrays |= {n: getattr(of, n) for n in ("cycle", "group", "sums", "ranks")}
    return {
        name: (array.shape, array.dtype.str, array.tobytes())
        for name, array in (arrays | result.facts).items()
    } | {"groups": of.groups}
