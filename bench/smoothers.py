"""Smoothers on Lorenz-96 with D = 40: docs/smoothers.md.

RMSE of the analysis and of the state `lag` cycles before, over the cycles after a tenth of them.

    python bench/smoothers.py --run      # appends to bench/results/smoothers.jsonl
    python bench/smoothers.py --table    # prints the tables of the page
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
import resumable

import enfilt as ef
from enfilt.inflation import RTPS
from enfilt.localization import GaspariCohn

MODEL = ef.models.Lorenz96(dim=40, dt=0.05)
SEEDS, CYCLES = range(2), 500


class Problem(NamedTuple):
    """What is observed, and how often."""

    every: int
    steps: int
    members: int


PROBLEMS = {
    "every component each 0.05": Problem(1, 1, 20),
    "every component each 0.4": Problem(1, 8, 40),
    "every second component each 0.4": Problem(2, 8, 40),
}


def filters(problem: Problem) -> dict[str, Any]:
    """Return what is shown, by its name in the tables."""
    steps = problem.steps
    lag = 10 if steps == 1 else 2
    found: dict[str, Any] = {
        "LEnFF()": ef.LEnFF(),
        f"EnKS of LEnFF(), lag {lag}": ef.EnKS(ef.LEnFF(), lag),
        f"EnKS of an ETKF, lag {lag}": ef.EnKS(ef.ETKF(1.02 if steps == 1 else RTPS(0.4)), lag),
        f"EnKS of an LETKF, lag {lag}": ef.EnKS(ef.LETKF(GaspariCohn(14.56), RTPS(0.3)), lag),
    }
    # the best of 1.02, 1.05, 1.1 and 1.2 on seed 0
    inflation = 1.1 if problem.every > 1 else 1.02
    for window in (1, 4, 10) if steps == 1 else (1, 2, 3):
        name = f"IEnKS, lag {window}, inflation {inflation}"
        found[name] = ef.IEnKS(MODEL, steps, lag=window, inflation=inflation)
    for window in (1, 4) if steps == 1 else (1, 2):
        found[f"ILEnFF(), lag {window}"] = ef.ILEnFF(MODEL, steps, lag=window)
        twenty = ef.LEnFF(steps=20)
        found[f"ILEnFF(), 20 steps, lag {window}"] = ef.ILEnFF(MODEL, steps, twenty, window)
    return found


class Task(NamedTuple):
    """One run."""

    problem: str
    filter: str
    seed: int


def work(task: Task) -> dict[str, Any]:
    """Run one, and return its errors."""
    problem = PROBLEMS[task.problem]
    filt = filters(problem)[task.filter]
    grid = MODEL.grid
    obs = ef.Observation(ef.operators.Every(problem.every), std=1.0, grid=grid)
    truth_rng, error_rng, ensemble_rng, filter_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence(task.seed).spawn(4)
    )
    truth = MODEL.step(MODEL.initial_state(truth_rng)[None], 2000)
    previous = forecast = truth + ensemble_rng.standard_normal((problem.members, 40))
    known, errors, spread, begin = [], [], [], time.perf_counter()
    try:
        for cycle in range(CYCLES):
            if cycle:
                truth, forecast = (
                    MODEL.step(truth, problem.steps),
                    MODEL.step(previous, problem.steps),
                )
            y = obs.simulate(truth[0], error_rng)
            previous = filt.analysis(forecast, y, obs, previous=previous, rng=filter_rng)
            known = [truth[0], *known][:11]
            past = getattr(filt, "smoothed", [previous])
            errors.append([ef.metrics.rmse(past[j], known[j]) for j in (0, len(past) - 1)])
            spread.append(float(np.sqrt(previous.var(axis=0, ddof=1).mean())))
    except FloatingPointError:
        errors, spread = [[np.nan] * 2], [np.nan]
    skipped = len(errors) // 10
    analysis, smoothed = np.mean(errors[skipped:], axis=0)
    return {
        **task._asdict(),
        "analysis": float(analysis),
        "smoothed": float(smoothed),
        "spread": float(np.mean(spread[skipped:])),
        "seconds": (time.perf_counter() - begin) / CYCLES,
    }


def tell(line: dict[str, Any]) -> str:
    """Return a line for the terminal."""
    return f"{line['problem']}, {line['filter']}, seed {line['seed']}: {line['analysis']:.3f}"


def key(line: dict[str, Any]) -> Task:
    """Return which task a line is of."""
    return Task(line["problem"], line["filter"], line["seed"])


def table(found: dict[Any, dict[str, Any]]) -> None:
    """Print the tables."""
    for name, problem in PROBLEMS.items():
        print(f"\n{name}, N = {problem.members}\n")
        print("| | RMSE of the analysis | of the state at the lag | spread/RMSE | ms a cycle |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for filt in filters(problem):
            lines = [line for task, line in found.items() if task[:2] == (name, filt)]
            if not lines:
                continue
            mean = {
                k: float(np.mean([line[k] for line in lines]))
                for k in ("analysis", "smoothed", "spread", "seconds")
            }
            print(
                f"| {filt} | {mean['analysis']:.3g} | {mean['smoothed']:.3g} | "
                f"{mean['spread'] / mean['analysis']:.2f} | {1e3 * mean['seconds']:.2g} |"
            )


def main() -> None:
    """Run what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--table", action="store_true")
    resumable.add_options(parser)
    options = parser.parse_args()
    path = options.out / "smoothers.jsonl"
    done = resumable.lines(path, key)
    if options.run:
        resumable.restart_with_threads(1)
        tasks = [
            Task(problem, filt, seed)
            for seed in SEEDS
            for problem, of in PROBLEMS.items()
            for filt in filters(of)
        ]
        missing = [task for task in tasks if task not in done]
        resumable.run(missing, work, path, options, tell)
    if options.table:
        table(resumable.lines(path, key))


if __name__ == "__main__":
    main()
