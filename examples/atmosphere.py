"""200 stations: ``atmosphere.py 15 folder`` runs 15 days of SPEEDY, or goes on from the folder."""

import os
import resource
import sys
import tempfile

import numpy as np

import enfilt as ef


class Members(ef.Model):
    """Members in the model's own waves, to which is added what an analysis changed on the grid."""

    def __init__(self, model, states):
        self.model, self.states = model, states
        self.fields = np.stack([model.grid(x) for x in states])

    def __call__(self, ensemble, start, stop, rng):
        added = map(self.model.add, self.states, self.fields, ensemble)
        self.states = [self.model.step(x) for x in added]
        self.fields = np.stack([self.model.grid(x) for x in self.states])
        return self.fields.copy()

    def save(self):
        return self.states, self.fields

    def load(self, state):
        self.states, self.fields = state


if sys.argv[1:]:
    from atmospheres.speedy import Speedy as Atmosphere
else:  # a day of a coarse stand-in, without JAX
    from atmospheres.waves import Waves as Atmosphere
days, count = (int(sys.argv[1]), 200) if sys.argv[1:] else (1, 20)
model, rng = Atmosphere(), np.random.default_rng(0)
lon, lat, levels = model.longitude, model.latitude, {"u": 8, "v": 8, "t": 8, "q": 8, "ps": 1}
z = {name: model.height if n > 1 else [0.0] for name, n in levels.items()}  # in km
sphere = ef.geometry.Sphere(lon, lat[:, None], vertical=z, variables=levels, vertical_scale=150.0)

# Soundings of u, v and t at all levels, of humidity at the lower four, pressure at the ground.
kinds = np.tile(np.repeat(list(levels), [8, 8, 8, 4, 1]), count)
height = np.tile(np.concatenate([z["u"], z["v"], z["t"], z["q"][4:], z["ps"]]), count)
stations = rng.uniform(-180, 180, count), np.rad2deg(np.arcsin(rng.uniform(-1, 1, count)))
places = np.column_stack([*np.repeat(stations, 29, axis=1), height])
h, at = ef.operators.interpolate(sphere, places, variable=kinds, vectors=["u", "v"])
error = np.where(kinds == "q", 0.3, 1.0)  # g/kg; m/s, K and hPa
obs = ef.Observation(h, std=error, grid=sphere, locations=at)

states = model.begin(21)  # days of one run; the truth begins as the one in the middle
truth, truths, windows = states.pop(10), [], []
for k in range(4 * days):
    truths.append(np.asarray(model.grid(truth)))
    y = h(truths[k]) + error * rng.standard_normal(error.size)
    windows.append((k, y.astype(np.float32), obs))
    truth = model.step(truth)

letkf = ef.LETKF(ef.localization.GaspariCohn(cutoff=2000.0), inflation=ef.inflation.RTPS(0.7))
squares, late = {}, -(len(windows) // 3)  # of the errors of the mean
folder = sys.argv[2] if sys.argv[2:] else tempfile.mkdtemp()
os.makedirs(folder, exist_ok=True)
for name, filt in {"free run": None, "LETKF": letkf, "LEnFF": ef.LEnFF()}.items():
    path, members = f"{folder}/{name} {{}}".format, Members(model, states)
    keep = {"analysis_to": lambda k, x, to=path: np.save(to(k), (x.mean(axis=0) - truths[k]) ** 2)}
    run, again = ef.Assimilation(members, windows, **keep), path("checkpoint")
    result = run.run(filt, ensemble=members.fields, seed=0, checkpoint=again, resume=True)
    told = result.summary(last=-late)
    print({name: round(told[name], 2) for name in ("chi_square", "seconds", "seconds_forecast")})
    squares[name] = np.stack([np.load(path(f"{k}.npy")) for k in range(len(windows))])
print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB of memory")

area = np.cos(np.deg2rad(lat))
maps = {name: np.mean(of[late:], axis=0).reshape(33, lat.size, -1) for name, of in squares.items()}
rmse = {name: np.sqrt(of.mean(axis=2) @ area / area.sum()) for name, of in maps.items()}
print("RMSE over the last third:", *rmse)
labels = [f"{name:2} at {height:4.1f} km" for name in levels for height in z[name]]
for label, *figures in zip(labels, *rmse.values(), strict=True):
    print(label, *(f"{figure:9.4f}" for figure in figures))
