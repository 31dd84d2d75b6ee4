"""What is published of iterative filters and smoothers on the models of Lorenz, and what comes out.

Settings as the papers have them, or as the package DAPPER has found them to reproduce the papers'
figures: docs/smoothers.md. RMSE of the analysis over the cycles after the first fifth.

    python bench/published.py --run      # appends to bench/results/published.jsonl
    python bench/published.py --table    # prints the table of the page
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
import resumable

import enfilt as ef

SEEDS = range(3)


class Setting(NamedTuple):
    """What is run, and what others have."""

    model: ef.models.Model
    every: int  # which components are observed
    variance: float
    steps: int
    members: int
    filt: Any  # of the model and the steps
    published: float
    cycles: int = 1000


L63 = ef.models.Lorenz63(dt=0.01)
L96 = ef.models.Lorenz96(dim=40, dt=0.05)


def ienkf(inflation: float) -> Any:
    """Return what makes an IEnKF."""
    return lambda model, steps: ef.IEnKF(model, steps, inflation=inflation)


def ienks(inflation: float, lag: int) -> Any:
    """Return what makes an IEnKS."""
    return lambda model, steps: ef.IEnKS(model, steps, inflation=inflation, lag=lag)


def ilenff(lag: int) -> Any:
    """Return what makes an ILEnFF, with nothing to tune."""
    return lambda model, steps: ef.ILEnFF(model, steps, ef.LEnFF(steps=20), lag=lag)


SETTINGS = {
    "L63, variance 2, each 0.25, IEnKF, N 10": Setting(L63, 1, 2.0, 25, 10, ienkf(1.02), 0.31),
    "L63, variance 1, each 0.25, IEnKF, N 10": Setting(L63, 1, 1.0, 25, 10, ienkf(1.02), 0.22),
    "L63, variance 1, each 0.25, IEnKF, N 3": Setting(L63, 1, 1.0, 25, 3, ienkf(1.04), 0.23),
    "L63, variance 1, each 0.05, IEnKF, N 10": Setting(L63, 1, 1.0, 5, 10, ienkf(1.02), 0.13),
    "L63, variance 1, each 0.05, IEnKF, N 3": Setting(L63, 1, 1.0, 5, 3, ienkf(1.02), 0.13),
    "L96, each 0.05, IEnKF, N 40": Setting(L96, 1, 1.0, 1, 40, ienkf(1.01), 0.17),
    "L96, each 0.6, IEnKF, N 25": Setting(L96, 1, 1.0, 12, 25, ienkf(1.2), 0.46),
    "L96, every second, variance 1.5, each 0.05, IEnKS lag 2, N 19": Setting(
        L96, 2, 1.5, 1, 19, ienks(1.04, 2), 0.39
    ),
    "L96, each 0.2, IEnKS lag 4, N 20": Setting(L96, 1, 1.0, 4, 20, ienks(1.05, 4), 0.31),
    "L96, each 0.4, IEnKF, N 20": Setting(L96, 1, 1.0, 8, 20, ienkf(1.07), 0.40),
    "L96, each 0.4, ILEnFF lag 1, N 10": Setting(L96, 1, 1.0, 8, 10, ilenff(1), 0.42),
    "L96, each 0.05, ILEnFF lag 10, N 10": Setting(L96, 1, 1.0, 1, 10, ilenff(10), 0.17),
}


class Task(NamedTuple):
    """One run."""

    name: str
    seed: int


def work(task: Task) -> dict[str, Any]:
    """Run one, and return its error."""
    of = SETTINGS[task.name]
    obs = ef.Observation(ef.operators.Every(of.every), std=of.variance**0.5, grid=of.model.grid)
    twin = ef.TwinExperiment(
        of.model, obs, of.cycles, of.steps, spinup=2000, initial_mean="truth", initial_std=1.0
    )
    result = twin.run(of.filt(of.model, of.steps), members=of.members, seed=task.seed)
    told = result.summary(last=of.cycles - of.cycles // 5)
    return {
        **task._asdict(),
        "rmse": told["rmse.analysis"] if not result.stopped else float("nan"),
        "spread": told["spread.analysis"],
        "published": of.published,
    }


def tell(line: dict[str, Any]) -> str:
    """Return a line for the terminal."""
    return f"{line['name']}, seed {line['seed']}: {line['rmse']:.3f} for {line['published']}"


def key(line: dict[str, Any]) -> Task:
    """Return which task a line is of."""
    return Task(line["name"], line["seed"])


def table(found: dict[Any, dict[str, Any]]) -> None:
    """Print the table."""
    print("| | published | here, seeds 0 to 2 | mean |")
    print("| --- | ---: | ---: | ---: |")
    for name, of in SETTINGS.items():
        errors = [line["rmse"] for task, line in found.items() if task[0] == name]
        if errors:
            each = ", ".join(f"{error:.3f}" for error in errors)
            print(f"| {name} | {of.published:.2f} | {each} | {np.mean(errors):.3f} |")


def main() -> None:
    """Run what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--table", action="store_true")
    resumable.add_options(parser)
    options = parser.parse_args()
    path = options.out / "published.jsonl"
    if options.run:
        resumable.restart_with_threads(1)
        done = resumable.lines(path, key)
        tasks = [Task(name, seed) for seed in SEEDS for name in SETTINGS]
        resumable.run([t for t in tasks if t not in done], work, path, options, tell)
    if options.table:
        table(resumable.lines(path, key))


if __name__ == "__main__":
    main()
