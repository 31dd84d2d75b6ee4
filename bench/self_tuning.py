"""How far LEnFF() may be relied on, and what each part of it does: docs/nothing-to-tune.md.

Lorenz-96 with D = 40, 500 cycles of which the second half counts, seeds 0 to 4:

    python bench/self_tuning.py --run      # appends to bench/results/self_tuning.jsonl
    python bench/self_tuning.py --table    # prints the tables of the page
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import resumable

import enfilt as ef
from enfilt.experiments.compare import run_quietly
from enfilt.filters import spread_factors, taper_range
from enfilt.inflation import RTPS, Adaptive
from enfilt.localization import GaspariCohn

SEEDS, CYCLES = range(5), 500
PROBLEMS = ("every component", "every second, arctan")
#: What the league's search chose for the LETKF with 20 members, at the same problems.
TUNED = {
    "every component": ef.LETKF(GaspariCohn(16.8), RTPS(0.125)),
    "every second, arctan": ef.LETKF(GaspariCohn(4.41), RTPS(0.587)),
}
CASES = (
    "as it is", "r told half", "r told twice", "5 % outliers of 10 r", "forcing 8, truth 8.5",
    "N = 4", "N = 7", "N = 10", "N = 40", "N = 100", "N = 200",
)  # fmt: skip
ONE_FACTOR = "one factor from innovations alone"


class Task(NamedTuple):
    """One run."""

    problem: str
    case: str
    filter: str
    members: int
    seed: int


@dataclasses.dataclass(frozen=True, eq=False)
class Misled(ef.Observation):
    """Observations that are not what they say: of another error, or with outliers."""

    times: float = 1.0
    outliers: float = 0.0

    def simulate(self, truth: Any, rng: Any = None) -> Any:
        true = ef.Observation(self.operator, self.times * self.std, grid=self.grid)
        y = true.simulate(truth, rng)
        wild = np.random.default_rng(np.abs(y * 1e6).astype(np.int64)).random((2, y.size))
        return y + np.where(wild[0] < self.outliers, np.sign(wild[1] - 0.5) * 10 * self.std, 0)


@dataclasses.dataclass(frozen=True)
class Changed(ef.models.Lorenz96):
    """A truth, stepped alone, of another forcing than the members."""

    def step(self, ensemble: Any, steps: int = 1, **options: Any) -> Any:
        if np.shape(ensemble)[0] > 1:
            return super().step(ensemble, steps, **options)
        true = ef.models.Lorenz96(dim=self.dim, forcing=8.5, dt=self.dt)
        return true.step(ensemble, steps, **options)


def experiment(problem: str, case: str) -> ef.TwinExperiment:
    """Return the problem as the case changes it."""
    whole = problem == "every component"
    dt, steps, r = (0.05, 1, 1.0) if whole else (0.01, 10, 0.05)
    kind = Changed if case.startswith("forcing") else ef.models.Lorenz96
    model = kind(dim=40, forcing=8.0, dt=dt)
    times = {"r told half": 2.0, "r told twice": 0.5}.get(case, 1.0)
    wild = 0.05 if "outliers" in case else 0.0
    operator = ef.operators.Identity() if whole else ef.operators.Arctan() @ ef.operators.Every(2)
    obs = Misled(operator, r / times, grid=model.grid, times=times, outliers=wild)
    start = "truth" if whole else "zero"
    return ef.TwinExperiment(
        model, obs, cycles=CYCLES, steps_per_cycle=steps, spinup=1000, initial_mean=start
    )


def parts() -> dict[str, tuple[Any, str, Any] | None]:
    """Return what takes each part out: an attribute, and what stands in its place."""
    local = spread_factors.LocalFactors
    return {
        "all of it": None,
        "no wider than for covariances": (taper_range, "stretch", lambda members: 1.0),
        "no bound by members": (taper_range, "FREEDOM", np.inf),
        "no local factors": (local, "drawn", lambda self, scatter: self.level),
        "scatter always 0.3": (local, "scatter", lambda self, known: known),
        "innovations as if independent": (
            spread_factors, "correlated", lambda near, places, square: near.found.ratio),
        ONE_FACTOR: None,
    }  # fmt: skip


def tasks() -> list[Task]:
    """Return all runs."""
    found = []
    for problem in PROBLEMS:
        for case in CASES:
            members = int(case[4:]) if case.startswith("N =") else 20
            for name in ("LEnFF()", "LETKF"):
                found += [Task(problem, case, name, members, seed) for seed in SEEDS]
        for part in parts():
            for members in (10, 20):
                found += [Task(problem, part, "LEnFF()", members, seed) for seed in SEEDS]
    return found


def work(task: Task) -> dict[str, Any]:
    """Run one."""
    filt: ef.filters.EnsembleFilter = ef.LEnFF()
    if task.filter == "LETKF":
        filt = TUNED[task.problem]
    elif task.case == ONE_FACTOR:
        filt = ef.LEnFF(inflation=Adaptive(local=False))
    out = parts().get(task.case)
    with mock.patch.object(*out) if out else contextlib.nullcontext():
        twin = experiment(task.problem, task.case)
        result = run_quietly(twin, task.filter, filt, task.members, task.seed)
    last = CYCLES // 2
    means = result.summary(last=last)
    kept = not result.stopped and result.tracks(last=last)
    scores = {"rmse": means["rmse.analysis"], "spread": means["spread.analysis"]} if kept else {}
    return task._asdict() | {"lost": not kept} | scores


def shown(lines: dict[Any, dict[str, Any]], row: tuple[str, ...]) -> str:
    """Return RMSE, how much of it the spread is, and how many runs were lost."""
    runs = [line for task, line in lines.items() if tuple(task)[: len(row)] == row]
    kept = [line for line in runs if not line["lost"]]
    if not kept:
        return f"lost ({len(runs)} of {len(runs)})" if runs else ""
    errors = [line["rmse"] for line in kept]
    ratio = np.mean([line["spread"] for line in kept]) / np.mean(errors)
    lost = f", {len(runs) - len(kept)} of {len(runs)} lost" if len(kept) < len(runs) else ""
    return f"{np.mean(errors):#.3g} ({ratio:.2f}{lost})"


def table(lines: dict[Any, dict[str, Any]]) -> None:
    """Print both tables."""
    head = [f"{p}, {f}" for p in PROBLEMS for f in ("LEnFF()", "LETKF")]
    print("| | " + " | ".join(head) + " |\n| --- |" + " ---: |" * len(head))
    for case in CASES:
        cells = [shown(lines, (p, case, f)) for p in PROBLEMS for f in ("LEnFF()", "LETKF")]
        print(f"| {case} | " + " | ".join(cells) + " |")
    head = [f"{p}, N = {n}" for p in PROBLEMS for n in (10, 20)]
    print("\n| | " + " | ".join(head) + " |\n| --- |" + " ---: |" * len(head))
    for part in parts():
        cells = [shown(lines, (p, part, "LEnFF()", n)) for p in PROBLEMS for n in (10, 20)]
        print(f"| {part} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--table", action="store_true")
    resumable.add_options(parser)
    options = parser.parse_args()
    resumable.restart_with_threads(1)
    path = Path(options.out) / "self_tuning.jsonl"
    names = Task._fields
    lines = resumable.lines(path, lambda line: tuple(line[name] for name in names))
    if options.run:
        left = [task for task in tasks() if tuple(task) not in lines]
        resumable.run(left, work, path, options, lambda line: f"{line}")
    if options.table:
        table(lines)


if __name__ == "__main__":
    main()
