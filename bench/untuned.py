"""LEnFF() in long runs, over a map of problems, and beside others without a number to choose.

What docs/nothing-to-tune.md shows. One line of JSON a run, appended to bench/results/untuned.jsonl:
stopped at any time, the same call goes on.

    python bench/untuned.py --long --map --rivals --workers 1
    python bench/untuned.py --write      # prints the tables, and draws docs/pictures/untuned.png

Long runs are of 5,000 cycles, N = 20, seeds 101 to 103. The map is Lorenz-96 with D = 40 through
arctan, 300 cycles from far, seeds 0 and 1, beside the LETKF tuned at its centre (N = 20, r = 0.05,
every second component every ten steps of 0.01). Rivals run 1,000 cycles with seeds 101 to 105.
Errors are those of the second half of the cycles.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import resumable

import enfilt as ef
from enfilt.experiments.compare import run_quietly
from enfilt.experiments.preset import Preset
from enfilt.inflation import RTPS, AdaptiveRTPS, FiniteSize
from enfilt.localization import FromEnsemble, GaspariCohn

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "untuned.png"
LONG = ("lorenz96-40", "lorenz96-partial", "lorenz96-1m", "ks-1024")
MEMBERS, ERRORS = (5, 10, 20, 40), (0.01, 0.05, 0.2, 0.5)
INTERVALS, EVERY = (5, 10, 20, 40), (1, 2, 4)
WIDE, LOCAL = GaspariCohn(16.8), GaspariCohn(4.92)
FILTERS = {
    "LEnFF()": ef.LEnFF(),
    # the best of 30 trials of 300 cycles with seeds 0 to 2 at the centre of the map
    "LETKF, tuned": ef.LETKF(LOCAL, RTPS(0.372)),
    "LETKF, tuned cutoff, adaptive relaxation": ef.LETKF(LOCAL, AdaptiveRTPS()),
    "LETKF, taper from the ensemble, adaptive relaxation": ef.LETKF(FromEnsemble(), AdaptiveRTPS()),
    "ETKF, EnKF-N": ef.ETKF(FiniteSize()),
    "ETKF, EnKF-N, rotated": ef.ETKF(FiniteSize(), rotate=True),
    "ETKF, adaptive relaxation": ef.ETKF(AdaptiveRTPS()),
}
#: What the league's search chose on lorenz96-40 with 20 and with 40 members.
ON_LORENZ96_40 = {
    "LETKF, tuned": ef.LETKF(WIDE, RTPS(0.125)),
    "LETKF, tuned cutoff, adaptive relaxation": ef.LETKF(WIDE, AdaptiveRTPS()),
    "ETKF, tuned": ef.ETKF(1.02, rotate=True),
}
UNTUNED, TUNED = "LEnFF()", "LETKF, tuned"


class Task(NamedTuple):
    """One run."""

    part: str
    problem: str
    filter: str
    members: int
    seed: int
    cycles: int
    r: float = 0.0
    interval: int = 0
    every: int = 0


def preset_of(task: Task) -> Preset:
    """Return the problem of a run."""
    if task.part == "map":
        chosen = ef.operators.Arctan() @ ef.operators.Every(task.every)
        changes = {"obs.operator": chosen, "obs.std": task.r, "steps_per_cycle": task.interval}
    else:
        changes = {"model.dim": 1000} if task.problem == "lorenz96-1m" else {}
    changes |= {"members": task.members, "cycles": task.cycles}
    return ef.presets.get(task.problem).replace(changes)


def work(task: Task) -> dict[str, Any]:
    """Do one run."""
    filters = FILTERS | (ON_LORENZ96_40 if task.problem == "lorenz96-40" else {})
    preset = preset_of(task)
    result = run_quietly(preset.twin, task.filter, filters[task.filter], task.members, task.seed)
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    last = (task.cycles + 1) // 2
    found: dict[str, Any] = {"stopped": result.stopped, "tracks": result.tracks(last=last)}
    if not result.stopped:
        means, error = result.summary(last=last), result.rmse.analysis
        lost = result.facts.get("lost", np.zeros(0))
        limit = 0.9 * result.climate(last)
        found |= {
            "rmse": means["rmse.analysis"],
            "spread": means["spread.analysis"],
            "climate": result.climate(last),
            "highest": float(error[100:].max(initial=0)),
            "at_climate": int((error[100:] >= limit).sum()),  # cycles, after the first hundred
            "lost_somewhere": int((lost[100:] > 0).sum()),
            "lost_share": float(lost[100:].mean()) if lost.size > 100 else 0.0,
        }
    return task._asdict() | found


def long_runs() -> Iterator[Task]:
    """Give the long runs."""
    for problem, seed in itertools.product(LONG, range(101, 104)):
        yield Task("long", problem, UNTUNED, 20, seed, 5000)


def map_runs() -> Iterator[Task]:
    """Give the runs of the map."""
    cells = itertools.product(EVERY, MEMBERS, ERRORS, INTERVALS, (UNTUNED, TUNED), range(2))
    for every, members, r, interval, name, seed in cells:
        yield Task("map", "lorenz96-partial", name, members, seed, 300, r, interval, every)


def rival_runs() -> Iterator[Task]:
    """Give the runs of the rivals."""
    for problem, members in itertools.product(("lorenz96-40", "lorenz96-partial"), (20, 40)):
        for name in FILTERS | (ON_LORENZ96_40 if problem == "lorenz96-40" else {}):
            for seed in range(101, 106):
                yield Task("rivals", problem, name, members, seed, 1000)


def key(line: dict[str, Any]) -> Task:
    return Task(*(line[name] for name in Task._fields))


def tell(line: dict[str, Any]) -> str:
    error = line["stopped"] or f"RMSE {line['rmse']:.4g}, spread {line['spread']:.4g}"
    return f"{' '.join(map(str, key(line)))}: {error}"


def long_table(done: dict[Any, dict[str, Any]]) -> None:
    """Print what became of the long runs."""
    head = ("problem", "RMSE", "spread/RMSE", "highest RMSE of a cycle", "climate", "cycles lost",
            "cycles with a place lost")  # fmt: skip
    print("| " + " | ".join(head) + " |\n| --- |" + " ---: |" * (len(head) - 1))
    for problem in LONG:
        runs = [line for task, line in done.items() if task[:2] == ("long", problem)]
        if not runs:
            continue
        kept = [line for line in runs if not line["stopped"]]
        cells = [
            ", ".join(f"{line['rmse']:#.3g}" for line in kept),
            ", ".join(f"{line['spread'] / line['rmse']:.2f}" for line in kept),
            f"{max(line['highest'] for line in kept):.2g}",
            f"{np.mean([line['climate'] for line in kept]):.2g}",
            f"{sum(line['at_climate'] for line in kept)}",
            f"{sum(line['lost_somewhere'] for line in kept)}",
        ]
        stopped = f" ({len(runs) - len(kept)} stopped)" if len(kept) < len(runs) else ""
        print(f"| {problem}{stopped} | " + " | ".join(cells) + " |")


def relative(runs: list[dict[str, Any]]) -> float:
    """Return the RMSE over the climate's error, mean over seeds; infinite where one is lost."""
    if not all(line["tracks"] for line in runs):
        return float("inf")
    return float(np.mean([line["rmse"] / line["climate"] for line in runs]))


def over_map(done: dict[Any, dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the errors over the map, (every, members, r, interval), by filter; NaN: not run."""
    found = {}
    for name in (UNTUNED, TUNED):
        cells = [
            [line for task, line in done.items()
             if task.part == "map" and task.filter == name
             and (task.every, task.members, task.r, task.interval) == at]
            for at in itertools.product(EVERY, MEMBERS, ERRORS, INTERVALS)
        ]  # fmt: skip
        errors = [relative(runs) if runs else np.nan for runs in cells]
        shape = (len(EVERY), len(MEMBERS), len(ERRORS), len(INTERVALS))
        found[name] = np.array(errors).reshape(shape)
    return found


def map_table(errors: dict[str, np.ndarray]) -> None:
    """Print in how much of the map each filter keeps the truth, and how they compare there."""
    axes = {"every": EVERY, "N": MEMBERS, "r": ERRORS, "interval": INTERVALS}
    print("\n| settings | lost, LEnFF() | lost, LETKF | LEnFF() lower | error over the LETKF's |")
    print("| --- |" + " ---: |" * 4)
    ours, theirs = errors[UNTUNED], errors[TUNED]
    parts = [("all", np.s_[:, :, :, :])]
    for axis, (name, values) in enumerate(axes.items()):
        for k, value in enumerate(values):
            parts.append((f"{name} {value:g}", (np.s_[:],) * axis + (k,)))
    for name, part in parts:
        a, b = ours[part], theirs[part]
        lost = [
            f"{np.isinf(x).sum()} of {np.isfinite(x).sum() + np.isinf(x).sum()}" for x in (a, b)
        ]
        both = np.isfinite(a) & np.isfinite(b)
        ratio = f"{np.exp(np.mean(np.log(a[both] / b[both]))):.2f}" if both.any() else "-"
        print(f"| {name} | {lost[0]} | {lost[1]} | {(a < b).sum()} | {ratio} |")


def draw(errors: dict[str, np.ndarray]) -> None:
    """Draw the map: a row of panels by density, a panel by filter and members."""
    from matplotlib.figure import Figure

    columns = list(itertools.product(errors, range(len(MEMBERS))))
    figure = Figure(figsize=(13, 5.2), layout="constrained", dpi=130)
    panels = figure.subplots(len(EVERY), len(columns), squeeze=False, sharex=True, sharey=True)
    image = None
    for (row, every), (column, (name, members)) in itertools.product(
        enumerate(EVERY), enumerate(columns)
    ):
        panel, shown = panels[row, column], errors[name][row, members]
        image = panel.imshow(
            np.log10(np.clip(shown, 1e-3, 1)), cmap="viridis", vmin=-2.5, vmax=0, aspect="auto"
        )
        for i, j in itertools.product(range(len(ERRORS)), range(len(INTERVALS))):
            text = "lost" if np.isinf(shown[i, j]) else f"{shown[i, j]:.2g}"
            colour = "black" if shown[i, j] > 0.1 else "white"
            panel.text(j, i, text, ha="center", va="center", fontsize=5.5, color=colour)
        panel.set_xticks(range(len(INTERVALS)), [f"{0.01 * k:g}" for k in INTERVALS], fontsize=6)
        panel.set_yticks(range(len(ERRORS)), [f"{r:g}" for r in ERRORS], fontsize=6)
        if row == 0:
            panel.set_title(f"{name}, N = {MEMBERS[members]}", fontsize=7)
        if column == 0:
            which = {1: "every component", 2: "every second"}.get(every, f"every {every}th")
            panel.set_ylabel(f"{which}\nr", fontsize=7)
        if row == len(EVERY) - 1:
            panel.set_xlabel("time between", fontsize=7)
    figure.colorbar(image, ax=panels, label="log10 of RMSE over climate", aspect=40)
    figure.savefig(PICTURE)


def rival_table(done: dict[Any, dict[str, Any]]) -> None:
    """Print RMSE and spread over it of every filter."""
    columns = list(itertools.product(("lorenz96-40", "lorenz96-partial"), (20, 40)))
    print("\n| | " + " | ".join(f"{p}, N = {n}" for p, n in columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for name in FILTERS | ON_LORENZ96_40:
        cells = []
        for problem, members in columns:
            runs = [line for task, line in done.items()
                    if task[:4] == ("rivals", problem, name, members)]  # fmt: skip
            kept = [line for line in runs if line["tracks"]]
            lost = f"{len(runs) - len(kept)} of {len(runs)} lost" if len(kept) < len(runs) else ""
            if kept:
                error = np.mean([line["rmse"] for line in kept])
                ratio = np.mean([line["spread"] for line in kept]) / error
                cells.append(f"{error:#.3g} ({ratio:.2f}{', ' if lost else ''}{lost})")
            else:
                cells.append(lost)
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="5,000 cycles")
    parser.add_argument("--map", action="store_true")
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--write", action="store_true")
    resumable.add_options(parser)
    options = parser.parse_args()
    resumable.restart_with_threads(1)
    path = options.out / "untuned.jsonl"
    done: dict[Any, dict[str, Any]] = resumable.lines(path, key)
    tasks = [
        *(rival_runs() if options.rivals else ()),
        *(map_runs() if options.map else ()),
        *(long_runs() if options.long else ()),
    ]
    if tasks:
        left = [task for task in tasks if task not in done]
        resumable.run(left, work, path, options, tell)
    if options.write:
        errors = over_map(done)
        long_table(done)
        map_table(errors)
        rival_table(done)
        draw(errors)
        print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
