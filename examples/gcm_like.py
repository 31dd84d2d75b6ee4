"""A global atmosphere of five variables (D = 152,064), and 200 stations with m = 5,200 values."""

import numpy as np
import pandas as pd

import enfilt as ef

rng = np.random.default_rng(0)
longitude, latitude = np.arange(0, 360, 3.75), np.linspace(-88.125, 88.125, 48)
heights, levels = np.linspace(0, 14, 8), {"u": 8, "v": 8, "t": 8, "q": 8, "ps": 1}
sphere = ef.geometry.Sphere(
    longitude, latitude[:, None], vertical=heights, vertical_scale=150.0, variables=levels
)
# In place of a model's forecasts: 21 smooth random states, of which the first is the truth.
east, north, up = sphere.coordinates(sphere.components("u")).T * [[np.pi / 180], [np.pi / 180], [1]]
space = [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north), up / 14]
waves = np.cos(3 * rng.standard_normal((80, 4)) @ space + rng.uniform(0, 7, (80, 1)))
fields = [rng.standard_normal((21, 80)) @ waves[:, : 4608 * n] / 9 for n in levels.values()]
truth, forecast = np.split(np.hstack(fields), [1])

# The table: u, v and t of soundings at each level, humidity and pressure at the ground.
kinds = np.tile(np.repeat(["u", "v", "t", "q", "ps"], [8, 8, 8, 1, 1]), 200)
height = np.tile([*heights, *heights, *heights, 0, 0], 200)
where = rng.uniform(-180, 180, 200), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 200)))
places = np.column_stack([*np.repeat(where, 26, axis=1), height])
h, _ = ef.operators.interpolate(sphere, places, variable=kinds)
table = pd.DataFrame(places, columns=["longitude", "latitude", "vertical"])
table["time"], table["kind"], table["error"] = pd.Timestamp("2026-01-01T12:00"), kinds, 0.3
table["value"] = h(truth[0]) + 0.3 * rng.standard_normal(5200)
table.loc[::400, "value"] = 20.0  # gross errors

check = ef.quality.GrossError(threshold=4)
filt = ef.LETKF(ef.localization.GaspariCohn(cutoff=2500.0))
for time, y, obs in ef.Observations.from_frame(table, sphere, window="6h", quality=check):
    analysis = filt.analysis(forecast, y, obs)
    print(time, filt.facts)
    for name in levels:
        of = sphere.components(name)
        before, after = (ef.metrics.rmse(x[:, of], truth[0, of]) for x in (forecast, analysis))
        print(f"{name:2}: RMSE {before:.3f} before, {after:.3f} after the analysis")
