"""Call every kernel that shares out work among threads, and print a hash of each result.

`test_process.py` runs it with several numbers of threads, and `.ci/run` under the thread sanitizer.
The last part calls kernels from four threads of Python at once.
"""

import hashlib
import threading

import numpy as np

import enfilt as ef
from enfilt import backends


def many(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def show(name, x):
    print(name, hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest())


def local(name, filt, grid, every=1):
    obs = ef.Observation(ef.operators.Every(every), std=0.5, grid=grid)
    x = many(5, grid.size)
    show(name, filt.analysis(x, many(obs.size(grid.size)), obs, rng=0))


near = ef.localization.GaspariCohn(cutoff=4.0)
line = ef.grids.RegularGrid((30_001,))
for every in (1, 2, 3):
    local(f"LEnFF line {every}", ef.LEnFF(near), line, every)
local("LEnFF open line", ef.LEnFF(near), ef.grids.RegularGrid((30_001,), periodic=False))
local("LETKF line", ef.LETKF(near), line)
for shape in ((70, 51), (130, 131), (34, 400)):
    for periodic in (True, False):
        grid = ef.grids.RegularGrid(shape, periodic=periodic)
        for filt in (ef.LEnFF(near, steps=3), ef.LETKF(near)):
            local(f"{type(filt).__name__} {shape} {periodic}", filt, grid)
x, y = many(6, 40_000), many(40_000)
obs = ef.Observation(ef.operators.Arctan(), std=0.5)
show("flow", ef.EnFF(steps=3).analysis(x, y, obs, previous=x, rng=0))
gain = ef.EnFF(path="ot", steps=3, guidance="covariance")
show("gain", gain.analysis(x, y, obs, previous=x, rng=0))
plain = ef.Observation(ef.operators.Every(2), std=0.5)
show(
    "reduced",
    ef.EnFF(steps=3, algorithm="reduced").analysis(x, y[::2].copy(), plain, previous=x, rng=0),
)
show("score", ef.EnSF(steps=3).analysis(x, y, obs, rng=0))
show("CRPS", backends.get("cpp").score_sums(x, y).crps)
for steps in (10, 40):
    z = x.copy()
    show("Lorenz-96", ef.kernels.lorenz96(z, dt=0.01, steps=steps, forcing=8.0))
    show("in place", ef.kernels.lorenz96(z, dt=0.01, steps=steps, forcing=8.0, out=z))
for members, n in ((1, 128), (3, 131)):
    model = ef.models.NavierStokes2D(n=n, dt=0.0005)
    show("Navier-Stokes", model.step(0.1 * many(members, 3 * n * n), 2))


def one_after_the_other():
    return [
        ef.EnFF(steps=3).analysis(x, y, obs, previous=x, rng=0),
        ef.LETKF(near).analysis(x[:, :30_001].copy(), y[:30_001].copy(), on_line, rng=0),
        ef.kernels.lorenz96(x, dt=0.01, steps=10, forcing=8.0),
    ]


on_line = ef.Observation(ef.operators.Arctan(), std=0.5, grid=line)
expected = one_after_the_other()
found = [None] * 4
start = threading.Barrier(len(found))


def at_once(k):
    start.wait()
    found[k] = one_after_the_other()


callers = [threading.Thread(target=at_once, args=(k,)) for k in range(len(found))]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
for results in found:
    for result, one in zip(results, expected, strict=True):
        assert np.array_equal(result, one)
