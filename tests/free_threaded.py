"""Four threads in the kernels at once get the same bits as one call after the other.

`test_process.py` runs this on Python with its lock, which kernels let go of. It is a program, too,
for a Python without one, in an environment that enfilt is installed in (docs/processes.md):

    python3.13t -m venv free && free/bin/pip install . && free/bin/python tests/free_threaded.py
"""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import enfilt as ef

THREADS = 4


def calls(backend: str = "cpp") -> dict[str, Callable[[], np.ndarray]]:
    """Return calls of kernels of every kind, on filters and arrays that the threads share."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 20_000), dtype=np.float32)
    few = rng.standard_normal((16, 20, 40))
    plane = rng.standard_normal((10, 32 * 32))
    obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    identity = ef.Observation(ef.operators.Identity(), std=0.5)
    on_line = ef.Observation(ef.operators.Tanh(), std=0.5, grid=ef.grids.RegularGrid((2000,)))
    on_plane = ef.Observation(ef.operators.Identity(), std=0.5, grid=ef.grids.RegularGrid((32, 32)))
    taper = ef.localization.GaspariCohn(4.0)
    filters = {
        "streaming": (ef.EnFF(steps=4, backend=backend), x, obs),
        "reduced": (
            ef.EnSF(steps=8, sampler="ode", algorithm="reduced", backend=backend),
            x,
            identity,
        ),
        "low-dimensional": (ef.EnFF(steps=4, backend=backend), few, obs),
        "normals": (ef.EnSF(steps=4, backend=backend), x, obs),
        "letkf": (ef.LETKF(taper, backend=backend), plane, on_plane),
        "lenff line": (ef.LEnFF(taper, steps=3, backend=backend), x[:, :2000], on_line),
        "lenff grid": (ef.LEnFF(taper, steps=3, backend=backend), plane, on_plane),
    }
    made: dict[str, Callable[[], np.ndarray]] = {}
    for name, (filt, ensemble, observation) in filters.items():
        ensemble = np.ascontiguousarray(ensemble)
        y = np.zeros(ensemble.shape[-1], ensemble.dtype)

        def analysis(
            filt: ef.EnFF = filt,
            ensemble: np.ndarray = ensemble,
            y: np.ndarray = y,
            observation: ef.Observation = observation,
        ) -> np.ndarray:
            return filt.analysis(ensemble, y, observation, previous=ensemble, rng=3)

        made[name] = analysis
    model = ef.models.Lorenz96(dim=20_000, dt=0.01)
    made["lorenz96"] = lambda: model.step(x, 5)
    made["score"] = lambda: ef.kernels.mixture_score(x, x, 0.9, 2.0)
    return made


def differing(make: Callable[[], dict[str, Callable[[], np.ndarray]]], rounds: int) -> list[str]:
    """Return the names of calls whose bits in four threads at once are not those of one."""
    alone = {name: call().tobytes() for name, call in make().items()}
    made = make()  # what a filter keeps from its first call on is made by the threads
    start = threading.Barrier(THREADS)

    def work(thread: int) -> list[str]:
        names = list(made)
        names = names[thread:] + names[:thread]  # other kernels, and the same, at one time
        found = []
        for turn in range(rounds):
            for name in names if turn % 2 else list(made):
                start.wait(timeout=120)
                if made[name]().tobytes() != alone[name]:
                    found.append(name)
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        return sorted({name for found in pool.map(work, range(THREADS)) for name in found})


def main() -> int:
    """Run the calls without the lock; return 1 where bits differ or there is a lock."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        print("this Python has a lock: python3.13t or newer is meant", file=sys.stderr)
        return 1
    found = differing(calls, rounds=20)
    locked = sys._is_gil_enabled()  # importing a module that needs the lock switches it on
    print(f"{sys.version.split()[0]}, {THREADS} threads, {len(calls())} kinds of calls")
    print(f"the lock is {'on' if locked else 'off'}; other bits: {', '.join(found) or 'none'}")
    return 1 if found or locked else 0


if __name__ == "__main__":
    sys.exit(main())
