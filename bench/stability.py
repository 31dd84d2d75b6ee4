"""How long, and how far from its recommended settings, the LEnFF stays stable; beside the LETKF.

Two problems, Lorenz-96 with N = 20: ``lorenz96-40`` (D = 40, every component, r = 1) and
``lorenz96-1m`` at D = 1,000 (arctan of every component, r = 0.05). Long runs are of 5,000 cycles at
the recommended settings, with three seeds. The map changes relaxation (RTPS) together with cutoff,
members, observation error or cycle length. A run is stable where it stays finite and its RMSE over
the second half of the cycles is below the error of the observations: r, or with arctan 1, about a
quarter of the state's standard deviation.

    python bench/stability.py --long --minutes 10
    python bench/stability.py --map --minutes 30        # goes on where it was stopped
    python bench/stability.py --write                   # the picture, and the table in JSON
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import resumable

import enfilt as ef
from enfilt.experiments.compare import run_quietly
from enfilt.experiments.preset import Preset
from enfilt.inflation import RTPS
from enfilt.localization import GaspariCohn

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "stability.png"
#: Options of each filter from which the map sets out, cutoff and RTPS, by problem.
RECOMMENDED = {
    "lenff": {"lorenz96-40": (12.0, 0.2), "lorenz96-1m": (12.0, 0.2)},
    "letkf": {"lorenz96-40": (14.0, 0.2), "lorenz96-1m": (14.0, 0.35)},
}
LONG = 5000
CYCLES = {"lorenz96-40": 500, "lorenz96-1m": 300}
RELAXATIONS = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)
#: What is changed beside the relaxation: values, and the axis' label.
AXES: dict[str, tuple[tuple[float, ...], str]] = {
    "cutoff": ((2, 4, 6, 8, 12, 16, 20), "cutoff, grid spacings"),
    "members": ((5, 7, 10, 15, 20, 30, 40), "members"),
    "error": ((0.1, 0.3, 1, 3, 10), "r, times the preset's"),
    "interval": ((0.4, 1, 2, 4, 6, 8), "cycle length, times 0.05"),
}


@dataclass(frozen=True)
class Run:
    """One run: the recommended setting, with RTPS and one thing more changed."""

    problem: str
    filter: str
    axis: str
    value: float
    relaxation: float
    seed: int
    cycles: int


def preset_of(task: Run) -> Preset:
    """Return the problem of a run."""
    preset = ef.presets.get(task.problem)
    changes: dict[str, Any] = {"members": 20, "cycles": task.cycles}
    if task.problem == "lorenz96-1m":
        changes |= {"model.dim": 1000}
    if task.axis == "members":
        changes["members"] = int(task.value)
    if task.axis == "error":
        changes["obs.std"] = task.value * preset.twin.obs.std
    if task.axis == "interval":
        # in units of 0.05, of which both models take whole steps; less in a shorter one
        unit = round(0.05 / preset.twin.model.dt)
        if task.value * unit < 1:
            changes["model.dt"] = task.value * preset.twin.model.dt
        changes["steps_per_cycle"] = max(1, round(task.value * unit))
    return preset.replace(changes)


def filter_of(task: Run) -> ef.filters.EnsembleFilter:
    """Return the filter of a run."""
    cutoff = task.value if task.axis == "cutoff" else RECOMMENDED[task.filter][task.problem][0]
    kind = ef.filters.FILTERS[task.filter]
    return kind(GaspariCohn(float(cutoff)), inflation=RTPS(task.relaxation))


def limit(task: Run) -> float:
    """Return the RMSE below which a run is stable."""
    return 1.0 if task.problem == "lorenz96-1m" else float(preset_of(task).twin.obs.std)


def work(task: Run) -> dict[str, Any]:
    """Do one run."""
    preset = preset_of(task)
    result = run_quietly(preset.twin, task.filter, filter_of(task), preset.members, task.seed)
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    half = result.rmse.analysis[(task.cycles + 1) // 2 :]
    rmse = None if result.stopped else float(half.mean())
    return {
        **dataclasses.asdict(task),
        "rmse": rmse,
        "highest": None if result.stopped else float(half.max()),
        "spread": None if result.stopped else float(result.spread.analysis[-half.size :].mean()),
        "stopped": result.stopped,
        "stable": rmse is not None and rmse < limit(task),
    }


def long_runs() -> Iterator[Run]:
    """Give the long runs at the recommended settings."""
    for problem in CYCLES:
        for seed in range(3):
            for name in RECOMMENDED:
                yield Run(problem, name, "", 1.0, RECOMMENDED[name][problem][1], seed, LONG)


def map_runs() -> Iterator[Run]:
    """Give the runs of the map, axis by axis."""
    for problem, cycles in CYCLES.items():
        for axis, (values, _) in AXES.items():
            for name in RECOMMENDED:
                for value in values:
                    for relaxation in RELAXATIONS:
                        yield Run(problem, name, axis, float(value), relaxation, 0, cycles)


def key(line: dict[str, Any]) -> Run:
    return Run(**{f.name: line[f.name] for f in dataclasses.fields(Run)})


def tell(line: dict[str, Any]) -> str:
    error = line["stopped"] or f"RMSE {line['rmse']:.4g}, at most {line['highest']:.4g}"
    head = f"{line['problem']} {line['filter']} {line['axis']} {line['value']:g}"
    return f"{head}, RTPS {line['relaxation']:g}, seed {line['seed']}: {error}"


def draw(done: dict[Any, dict[str, Any]], rows: list[tuple[str, str]]) -> None:
    """Draw the map, a row of panels a filter and problem."""
    from matplotlib.figure import Figure

    size = (3.6 * len(AXES), 2.9 * len(rows))
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    panels = figure.subplots(len(rows), len(AXES), squeeze=False)
    image = None
    for (problem, name), line in zip(rows, panels, strict=True):
        for (axis, (values, label)), panel in zip(AXES.items(), line, strict=True):
            shown = np.full((len(RELAXATIONS), len(values)), np.nan)
            for task, found in done.items():
                if (task.problem, task.filter, task.axis) == (problem, name, axis):
                    at = RELAXATIONS.index(task.relaxation), values.index(task.value)
                    shown[at] = np.inf if found["rmse"] is None else found["rmse"] / limit(task)
                    if not found["stable"]:
                        panel.text(*at[::-1], "x", ha="center", va="center", fontsize="small")
            image = panel.imshow(
                np.log10(np.clip(shown, 1e-2, 1e2)),
                origin="lower",
                aspect="auto",
                cmap="RdYlBu_r",
                vmin=-1.5,
                vmax=1.5,
            )
            panel.set_xticks(range(len(values)), [f"{v:g}" for v in values])
            panel.set_yticks(range(len(RELAXATIONS)), [f"{v:g}" for v in RELAXATIONS])
            panel.set_xlabel(label)
            kind = ef.filters.FILTERS[name].__name__
            panel.set_title(f"{kind}, {problem}", fontsize="small")
        line[0].set_ylabel("RTPS")
    label = "log10 of RMSE over the observations' error (x: not stable)"
    figure.colorbar(image, ax=panels, label=label, aspect=40)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)


def write(out: Path) -> None:
    """Write the picture, and the long runs and how much of the map is stable."""
    done: dict[Any, dict[str, Any]] = resumable.lines(out / "stability.jsonl", key)
    counts: dict[tuple[str, str, str], list[bool]] = {}
    for task, line in done.items():
        if task.axis:
            counts.setdefault((task.problem, task.filter, task.axis), []).append(line["stable"])
    rows = sorted({key[:2] for key in counts})
    summary = {
        "recommended cutoff and RTPS": RECOMMENDED,
        "long": [line for task, line in done.items() if not task.axis],
        "map": [
            {"problem": p, "filter": f, "axis": a, "stable": sum(found), "runs": len(found)}
            for (p, f, a), found in counts.items()
        ],
    }
    (out / "stability.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"wrote {out / 'stability.json'}")
    if rows:
        draw(done, rows)
        print(f"wrote {PICTURE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="5,000 cycles")
    parser.add_argument("--map", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--problem", choices=CYCLES, help="this one alone")
    resumable.add_options(parser)
    options = parser.parse_args()
    resumable.restart_with_threads(1)
    path = options.out / "stability.jsonl"
    tasks = [*(long_runs() if options.long else ()), *(map_runs() if options.map else ())]
    done = resumable.lines(path, key)
    tasks = [t for t in tasks if options.problem in (None, t.problem)]
    left = [t for t in tasks if t not in done]
    if tasks:
        print(f"{len(tasks) - len(left)} runs done, {len(left)} left", flush=True)
        resumable.run(left, work, path, options, tell)
    if options.write:
        write(options.out)


if __name__ == "__main__":
    main()
