"""Time analyses that go through lists of neighbours: first calls, which search, and later ones.

The case: five variables on 96 x 48 places and 8 levels of a sphere (D = 184,320), 200 stations that
observe three of them on all levels and two more numbers each (m = 5,200), 20 members, a cutoff of
2,500 km. Each filter is made anew and called three times: the first call searches for neighbours,
the second has its lists, and for the third some observations are missing that were there before.

    python bench/lists.py --json lists.json
    PYTHONPATH=other/python python bench/lists.py     # the same of another version, in turn
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import enfilt as ef
from enfilt.benchmark.timing import machine, write_json

CUTOFF, MEMBERS, STATIONS, LEVELS = 2500.0, 20, 200, 8
CALLS = ("first call", "later call", "some missing")
FILTERS = {"LETKF": ef.LETKF, "LEnFF": ef.LEnFF}


def case(dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, ef.Observation]:
    """Return a forecast, observations, the same with some missing, and what they are of."""
    rng = np.random.default_rng(0)
    longitude, latitude = np.arange(0, 360, 3.75), np.linspace(-88.125, 88.125, 48)[:, None]
    sphere = ef.geometry.Sphere(
        longitude,
        latitude,
        vertical=np.linspace(0, 16, LEVELS),
        vertical_scale=150.0,
        variables=dict.fromkeys(("u", "v", "t", "q", "z"), LEVELS),
    )
    places = longitude.size * latitude.size
    fields = [*range(3 * LEVELS), 3 * LEVELS, 4 * LEVELS]
    stations = rng.choice(places, STATIONS, replace=False)
    components = np.sort((places * np.array(fields)[:, None] + stations).ravel())
    obs = ef.Observation(ef.operators.Subset(components), std=1.0, grid=sphere)
    forecast = rng.standard_normal((MEMBERS, sphere.size)).astype(dtype)
    y = rng.standard_normal(components.size).astype(dtype)
    missing = np.where(rng.random(y.size) < 0.02, np.nan, y).astype(dtype)
    return forecast, y, missing, obs


def measure(name: str, dtype: Any, rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of seconds by the clock, and of the processor, of each call."""
    forecast, y, missing, obs = case(dtype)
    found: dict[str, list[tuple[float, float]]] = {call: [] for call in CALLS}
    for _ in range(rounds):
        filt = FILTERS[name](ef.localization.GaspariCohn(CUTOFF))
        for call, values in zip(CALLS, (y, y, missing), strict=True):
            clock, processor = time.perf_counter(), time.process_time()
            filt.analysis(forecast, values, obs)
            spent = time.perf_counter() - clock, time.process_time() - processor
            found[call].append(spent)
    return {
        call: {
            "seconds": statistics.median(clock for clock, _ in spent),
            "processor": statistics.median(processor for _, processor in spent),
        }
        for call, spent in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--filter", choices=FILTERS, action="append")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = {}
    for name in given.filter or FILTERS:
        results[name] = measure(name, np.dtype(given.dtype), given.rounds)
        for call, spent in results[name].items():
            clock, processor = spent["seconds"], spent["processor"]
            print(f"{name:6} {call:13} {clock:7.3f} s, of the processor {processor:7.3f} s")
    if given.json:
        report = {"machine": machine(), "dtype": given.dtype, "results": results}
        write_json(report, given.json)


if __name__ == "__main__":
    main()
