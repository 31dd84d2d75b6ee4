"""The league table: every filter tuned with the same budget, then shown on seeds it has not seen.

Problems are presets (``lorenz96-1m`` at D = 1,000), most observed as they are and through arctan,
with N = 20, 10 and 40. Each cell, a filter on a problem, searches its options with as many trials
as all others there (`enfilt.tune` on the first seeds), and is then run with other seeds. A cell is
one line of JSON, appended when it is done: stopped at any time, the same call goes on. A cell is
run again where its search could not choose what it now can: `FromEnsemble`, `Adaptive`.

    python bench/league.py --estimate            # seconds a cell, and altogether
    python bench/league.py --untuned             # LEnFF() in all cells, which nothing is chosen for
    python bench/league.py --run --minutes 60    # two processes of one thread each
    python bench/league.py --starts              # every finished cell from the other start
    python bench/league.py --time                # seconds an analysis; on a quiet machine
    python bench/league_page.py                  # docs/league.md and its picture
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import resumable

import enfilt as ef
from enfilt._files import replacing
from enfilt._written import written
from enfilt.experiments.compare import run_quietly
from enfilt.experiments.preset import Preset
from enfilt.localization import GaspariCohn
from enfilt.priors import GaussianPrior

SCORES = ("rmse.analysis", "crps.analysis", "spread.analysis")


@dataclass(frozen=True)
class Problem:
    """A preset, and what a cell on it may cost.

    Attributes
    ----------
    preset : str
    cycles : int
        Of every run; the error counts over the second half.
    trials : int
        Settings that each filter tries.
    trained : int
        Seeds of each trial. With one, 12 trials find settings on the edge of stability: the LEnFF
        on ``lorenz96-1m`` at 0.047 in training, and at 0.4 to 1.2 on other seeds.
    shown : int
        Other seeds that it is then run with.
    std : dict
        Observation error by how it is observed: with "arctan", with the "identity".
    cap : float
        Seconds; a cell that would take longer is not run.
    small : bool
        Whether filters that take hundreds of steps, or hundreds of members, are tried.
    changes : dict
        Other settings of the preset.
    """

    preset: str
    cycles: int
    trials: int
    trained: int
    shown: int
    std: dict[str, float]
    cap: float = 200.0
    small: bool = False
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    far: bool = False  # whether the spin-up is so long that its end is kept


_L96 = {"arctan": 0.05, "identity": 1.0}
_FIELD = {"arctan": 0.1, "identity": 0.1}
PROBLEMS = {
    p.preset: p
    for p in (
        Problem("lorenz96-1m", 150, 12, 2, 3, _L96, changes={"model.dim": 1000}),
        Problem("lorenz96-40", 300, 12, 2, 3, _L96, small=True),
        Problem("lorenz96-partial", 200, 12, 2, 3, _L96, small=True),
        Problem("lorenz96-sparse", 300, 12, 2, 3, {"identity": 1.0}, small=True),
        Problem("lorenz96-two-scale", 150, 12, 2, 3, {"identity": 1.0}, cap=300.0),
        Problem("ks-1024", 100, 12, 2, 3, _FIELD, cap=300.0),
        Problem("navier-stokes-64", 40, 8, 1, 2, _FIELD, cap=600.0),
        Problem("kolmogorov-128", 10, 6, 1, 2, _FIELD, cap=600.0, far=True),
    )
}
MEMBERS = (20, 10, 40)
#: The filter with nothing to tune, and how many seeds it is shown on where others have several.
UNTUNED, UNTUNED_SHOWN = "lenff()", 5
LARGE = (UNTUNED, "lenff", "letkf", "enff", "etkf", "enkf", "ensf")
#: Also those that need D x D matrices, or more members than D.
SMALL = (*LARGE, "ienkf", "bpf")
#: Samplers of hundreds of steps, at the end and with N = 20 alone.
SLOW = ("masf", "ssls", "sf")
FILTERS = (*SMALL, *SLOW)


@dataclass(frozen=True)
class Cell:
    """A filter on a problem."""

    problem: str
    operator: str
    members: int
    filter: str

    @property
    def key(self) -> tuple[Any, ...]:
        return dataclasses.astuple(self)

    def preset(self, seed: int, folder: Path) -> Preset:
        """Return the problem for a seed."""
        preset = self._problem()
        if not PROBLEMS[self.problem].far:
            return preset
        state = spun_up(preset, seed, folder)
        twin = dataclasses.replace(preset.twin, initial_state=state, spinup=0)
        return dataclasses.replace(preset, twin=twin)

    def untuned_choices(self) -> list[str]:
        """Return what the search may choose that needs no number."""
        if self.filter == UNTUNED:
            return []
        preset = self._problem()
        knobs = self.start(preset).search_space(preset.twin.model, preset.twin.obs)
        return sorted(f"{name}: {other}" for name, knob in knobs.items() for other in knob.others)

    def _problem(self) -> Preset:
        """Return the problem, whatever the seed."""
        rule = PROBLEMS[self.problem]
        preset = ef.presets.get(self.problem)
        operator = preset.twin.obs.operator
        chosen = operator.inner if isinstance(operator, ef.operators.Compose) else operator
        if isinstance(chosen, ef.operators.Arctan):
            chosen = ef.operators.Identity()
        identity = isinstance(chosen, ef.operators.Identity)
        if self.operator == "arctan":
            chosen = ef.operators.Arctan() if identity else ef.operators.Arctan() @ chosen
        return preset.replace(
            {
                **rule.changes,
                "cycles": rule.cycles,
                "members": self.members,
                "obs.operator": chosen,
                "obs.std": rule.std[self.operator],
            }
        )

    def start(self, preset: Preset) -> ef.filters.EnsembleFilter:
        """Return the filter before tuning, the same for all problems but for what they are."""
        partial = preset.twin.obs.size(preset.twin.model.dim) < preset.twin.model.dim
        nonlinear = self.operator == "arctan"
        name = self.filter
        if name == UNTUNED:
            return ef.LEnFF()
        if name == "enff":
            return ef.EnFF(path="f2p", guidance="local", steps=10)
        if name == "ensf":
            limit = 50.0 if max(preset.twin.obs.std, 0) < 1 else None
            return ef.EnSF(
                steps=99,
                score_limit=limit,
                regress_unobserved=partial,
                localization=GaspariCohn(4.0) if partial else None,
            )
        if name == "etkf":
            return ef.ETKF(rotate=True)
        if name == "bpf":
            return ef.BootstrapPF(jitter=1.0)
        if name == "masf":
            mode = "published" if nonlinear else "endpoint"
            return ef.MASF(mode=mode, prior=GaussianPrior(GaspariCohn(14.0)), steps=100)
        if name == "sf":
            return ef.ScoreFilter(prior=GaussianPrior(GaspariCohn(14.0)), steps=100)
        if name == "ssls":
            return ef.SSLS(prior=GaussianPrior(GaspariCohn(14.0)), steps=100)
        kind = ef.filters.FILTERS[name]
        return kind.for_experiment(preset.twin.model, preset.twin.obs, preset.twin.steps_per_cycle)


def cells() -> Iterator[Cell]:
    """Give all cells, the most telling first."""
    for members in MEMBERS:
        for problem in PROBLEMS.values():
            for operator in problem.std:
                for name in SMALL if problem.small else LARGE:
                    yield Cell(problem.preset, operator, members, name)
    for problem in PROBLEMS.values():
        if problem.small:
            for operator in problem.std:
                for name in SLOW:
                    yield Cell(problem.preset, operator, 20, name)


def spun_up(preset: Preset, seed: int, folder: Path) -> Any:
    """Return a state on the attractor, another for each seed, and keep it on disk."""
    path = folder / f"league-{preset.name}-{seed}.npy"
    if not path.exists():
        rng = np.random.default_rng([seed, 1])
        state = preset.twin.model.initial_state(rng).astype(preset.twin.dtype)[None]
        state = preset.twin.model.step(state, preset.twin.spinup, rng=rng)
        with replacing(path) as temporary:
            np.save(temporary, state[0])
    return np.load(path)


def probe(cell: Cell, folder: Path, cycles: int = 4) -> float:
    """Return about how many seconds the cell takes: a few cycles at the usual setting."""
    preset = cell.preset(0, folder)
    tuning = _tuning(cell, preset)
    usual = tuning.at({name: knob.usual for name, knob in tuning.knobs.items()})
    took = []
    for count in (1, 1, cycles):  # the first compiles
        begin = time.process_time()  # not the clock's: others compute beside this
        short = preset.replace({"cycles": count})
        run_quietly(short.twin, cell.filter, usual, cell.members, 0)
        took.append(time.process_time() - begin)
    a_cycle = max(0.0, took[2] - took[1]) / (cycles - 1)
    rule = PROBLEMS[cell.problem]
    runs = rule.trials * rule.trained + rule.shown
    return runs * (a_cycle * rule.cycles + took[1])


def _tuning(cell: Cell, preset: Preset) -> ef.Tuning:
    start = cell.start(preset)
    knobs = start.search_space(preset.twin.model, preset.twin.obs)
    return ef.Tuning(preset, cell.filter, start, knobs, (0,), [])


def run(cell: Cell, folder: Path) -> dict[str, Any]:
    """Tune and show one cell."""
    rule = PROBLEMS[cell.problem]
    line: dict[str, Any] = dataclasses.asdict(cell)
    line |= {"cycles": rule.cycles, "trials": rule.trials}
    tuned = cell.filter != UNTUNED
    shown = rule.shown if tuned or rule.trained == 1 else UNTUNED_SHOWN
    line |= {"trained": rule.trained if tuned else 0, "shown": shown}
    line |= {"untuned_choices": cell.untuned_choices()}
    begin = time.process_time()
    try:
        if tuned:
            filt = _tuned(cell, folder, line)
        else:
            filt = ef.LEnFF()
            line |= {"trials": 0, "options": "ef.LEnFF()", "values": {}}
        if filt is not None:
            line |= {"status": "done", "runs": _shown(cell, filt, shown, folder)}
    except _TooLongError:
        line |= {"status": "not run", "reason": f"stopped after {2 * rule.cap:.0f} s"}
    except Exception as error:  # one cell that fails does not end the hours of the others
        line |= {"status": "not run", "reason": f"{type(error).__name__}: {error}"[:300]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return line | {"cpu": round(time.process_time() - begin, 1)}  # of CPU time


def _tuned(cell: Cell, folder: Path, line: dict[str, Any]) -> Any:
    """Return the filter after its search, and what is told of that to `line`; None: too long."""
    rule = PROBLEMS[cell.problem]
    expected = probe(cell, folder)
    if expected > rule.cap:
        reason = f"would take {expected:.0f} s, more than {rule.cap:.0f} s"
        line |= {"status": "not run", "reason": reason}
        return None
    signal.setitimer(signal.ITIMER_PROF, 2 * rule.cap)
    preset = cell.preset(0, folder)
    found = ef.tune(
        preset,
        cell.start(preset),
        trials=rule.trials,
        seeds=range(rule.trained),
        show=False,
    )
    line |= {
        "options": written(found.filter, "ef."),
        "values": found.best.values,
        "training": _number(found.best.rmse),
        "diverged": sum(not np.isfinite(t.rmse) for t in found.trials),
    }
    return found.filter


def _shown(
    cell: Cell, filt: Any, shown: int, folder: Path, other_start: bool = False
) -> list[dict[str, Any]]:
    """Return the scores of a filter on seeds that nothing was chosen on.

    With `other_start` the ensemble starts about the truth where the preset's starts about zero, and
    the other way round.
    """
    last, runs = (PROBLEMS[cell.problem].cycles + 1) // 2, []
    for seed in range(101, 101 + shown):
        twin = cell.preset(seed, folder).twin
        if other_start:
            about = "zero" if twin.initial_mean == "truth" else "truth"
            twin = dataclasses.replace(twin, initial_mean=about)
        result = run_quietly(twin, cell.filter, filt, cell.members, seed)
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        means = result.summary(last=last)
        runs.append(
            {
                **{name: _number(means[name]) for name in SCORES},
                "seconds": float(np.median(result.seconds[1:])) if result.cycles > 1 else None,
                "stopped": result.stopped,
                "lost": not result.tracks(last=last),
            }
        )
    return runs


class _TooLongError(Exception):
    pass


def _too_long(number: int, frame: Any) -> None:
    raise _TooLongError


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _work(task: tuple[Cell, Path]) -> dict[str, Any]:
    signal.signal(signal.SIGPROF, _too_long)
    return run(*task)


def lines(path: Path) -> dict[Any, dict[str, Any]]:
    """Return what is done, by cell."""
    names = [f.name for f in dataclasses.fields(Cell)]
    return resumable.lines(path, lambda line: tuple(line[name] for name in names))


def run_all(options: argparse.Namespace) -> None:
    """Run what is not done, appending a line a cell."""
    path = options.out / "league.jsonl"
    kept = lines(path)
    left = []
    for cell in _wanted(options):
        line = kept.get(cell.key)
        done = line is not None and (line["status"] == "done" or not options.again)
        if not done or line.get("untuned_choices", []) != cell.untuned_choices():
            left.append((cell, options.scratch))
    done = len(kept) - sum(cell.key in kept for cell, _ in left)
    print(f"{done} cells done, {len(left)} left", flush=True)
    resumable.run(left, _work, path, options, _told)


def _told(line: dict[str, Any]) -> str:
    head = f"{line['problem']} {line['operator']} N={line['members']} {line['filter']}"
    if line["status"] != "done":
        return f"{head}: not run, {line['reason']}"
    found = scores(line)
    shown = "lost" if found is None else f"RMSE {found['rmse.analysis']:.4g}"
    return f"{head}: {shown}, {line['cpu']:.0f} s, {line['options']}"


def tracking(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs that did not lose the truth; older lines know only of those that stopped."""
    return [r for r in line.get("runs", []) if not r.get("lost", r["stopped"])]


def scores(line: dict[str, Any]) -> dict[str, float] | None:
    """Return means over the seeds that did not lose the truth; None where none is left."""
    kept = tracking(line)
    if not kept:
        return None
    found = {name: float(np.mean([r[name] for r in kept])) for name in (*SCORES, "seconds")}
    found["lost"] = len(line["runs"]) - len(kept)
    return found


def _wanted(options: argparse.Namespace) -> list[Cell]:
    chosen = options.only or list(PROBLEMS)
    filters = options.filters or FILTERS
    found = [c for c in cells() if c.problem in chosen and c.filter in filters]
    return [c for c in found if c.filter == UNTUNED] if options.untuned else found


def estimate(options: argparse.Namespace) -> None:
    """Print about how many seconds each cell takes at N = 20."""
    signal.signal(signal.SIGPROF, _too_long)
    total = 0.0
    for problem in options.only or PROBLEMS:
        for cell in (c for c in cells() if c.problem == problem and c.members == 20):
            if cell.operator == "arctan":
                signal.setitimer(signal.ITIMER_PROF, 30)
                try:
                    seconds = probe(cell, options.scratch)
                except _TooLongError:
                    seconds = float("inf")
                signal.setitimer(signal.ITIMER_PROF, 0)
                kept = min(seconds, 0 if seconds > PROBLEMS[problem].cap else seconds)
                sizes = sum(MEMBERS) / 20
                total += kept * 2 * sizes
                print(f"{problem} {cell.filter}: {seconds:.1f} s", flush=True)
    print(f"both operators, all N: {total / 60:.0f} min of one core")


def start_all(options: argparse.Namespace) -> None:
    """Append every finished cell's scores from the start that its preset has not."""
    path, kept = options.out / "league_starts.jsonl", lines(options.out / "league.jsonl")
    done = lines(path)
    left = []
    for cell in _wanted(options):
        line = kept.get(cell.key)
        if line is None or line["status"] != "done":
            continue
        if done.get(cell.key, {}).get("values") != line["values"]:
            left.append((cell, line, options.scratch))
    print(f"{len(left)} cells left", flush=True)
    resumable.run(left, _from_other_start, path, options, lambda line: str(line["runs"]))


def _from_other_start(task: tuple[Cell, dict[str, Any], Path]) -> dict[str, Any]:
    cell, line, folder = task
    untuned = cell.filter == UNTUNED
    filt = ef.LEnFF() if untuned else _tuning(cell, cell.preset(101, folder)).at(line["values"])
    runs = _shown(cell, filt, line["shown"], folder, other_start=True)
    return {**dataclasses.asdict(cell), "values": line["values"], "status": "done", "runs": runs}


def time_all(options: argparse.Namespace) -> None:
    """Append the seconds of one analysis of every finished cell, quiet and with two threads."""
    path = options.out / "league_seconds.jsonl"
    timed = lines(path)
    for key, line in lines(options.out / "league.jsonl").items():
        same = timed.get(key, {}).get("values") == line.get("values")
        if line["status"] != "done" or scores(line) is None or same:
            continue
        cell = Cell(*key)
        preset = cell.preset(101, options.scratch)
        untuned = cell.filter == UNTUNED
        filt = ef.LEnFF() if untuned else _tuning(cell, preset).at(line["values"])
        short = preset.replace({"cycles": min(8, preset.twin.cycles)})
        result = run_quietly(short.twin, cell.filter, filt, cell.members, 101)
        seconds = float(np.median(result.seconds[2:])) if result.cycles > 2 else None
        entry = {**dataclasses.asdict(cell), "values": line["values"], "seconds": seconds}
        resumable.append(path, entry)
        print(*key, seconds, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimate", action="store_true")
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--untuned", action="store_true", help="LEnFF() alone")
    parser.add_argument("--starts", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--only", nargs="*", choices=PROBLEMS, help="these problems alone")
    parser.add_argument("--filters", nargs="*", choices=FILTERS, help="these filters alone")
    parser.add_argument("--again", action="store_true", help="also cells that were not run")
    parser.add_argument("--scratch", type=Path, default=Path("league-scratch"))
    resumable.add_options(parser)
    options = parser.parse_args()
    resumable.restart_with_threads(2 if options.time else 1)
    if options.estimate:
        estimate(options)
    if options.run or options.untuned:
        run_all(options)
    if options.starts:
        start_all(options)
    if options.time:
        time_all(options)


if __name__ == "__main__":
    main()
