"""Call the analysis from a cycle of your own: a model, observations and arrays that you hold.

Run it with ``python examples/own_filter_loop.py``; it prints the error of forecast and analysis.
"""

import numpy as np

import enfilt as ef

MEMBERS, CYCLES, STEPS, STD = 20, 40, 10, 0.05

rng = np.random.default_rng(0)
model = ef.models.Lorenz96(dim=1000)
obs = ef.Observation(ef.operators.Arctan(), std=STD)
filt = ef.EnFF(path="f2p", guidance="local", steps=19, sigma_min=0.01, strength=0.05)

truth = model.step(model.initial_state(rng), 1000)
previous = forecast = rng.standard_normal((MEMBERS, model.dim))
for cycle in range(CYCLES):
    if cycle:
        truth = model.step(truth, STEPS)
        forecast = model.step(previous, STEPS)
    y = obs.simulate(truth, rng)
    if cycle == CYCLES // 2:
        y[:100] = np.nan  # an instrument fails: these are not observed
    analysis = filt.analysis(forecast, y, obs, previous=previous, rng=rng)
    if cycle % 10 == 9:
        before, after = (ef.metrics.rmse(x, truth) for x in (forecast, analysis))
        print(f"cycle {cycle + 1:3d}: RMSE {before:.3f} before, {after:.3f} after the analysis")
    previous = analysis
