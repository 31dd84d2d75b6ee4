"""Write docs/league.md and its picture from what bench/league.py left behind."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import league
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

DOCS = Path(__file__).parents[1] / "docs"
PICTURE = DOCS / "pictures" / "league.png"
#: What a person wrote about the figures; kept when the page is written again.
BEGIN, END = "<!-- when to use which -->", "<!-- end -->"

TITLES = {
    "lorenz96-1m": "Lorenz-96, D = 1,000, all observed",
    "lorenz96-40": "Lorenz-96, D = 40, all observed, every 0.05",
    "lorenz96-partial": "Lorenz-96, D = 40, every second component",
    "lorenz96-sparse": "Lorenz-96, D = 40, every fourth component, every 0.15",
    "lorenz96-two-scale": "Two-scale Lorenz-96, 36 slow variables observed, 360 fast ones not",
    "ks-1024": "Kuramoto-Sivashinsky, D = 1,024, all observed",
    "navier-stokes-64": "2-D Navier-Stokes, 64 x 64, p, u, v observed",
    "kolmogorov-128": "Kolmogorov flow, 128 x 128, u, v at every tenth point",
}
NAMES = {name: kind.__name__ for name, kind in league.ef.filters.FILTERS.items()}
NAMES[league.UNTUNED] = "LEnFF()"
MARKERS = {10: "v", 20: "o", 40: "^"}


def title(problem: str, operator: str) -> str:
    """Return what the problem is, with how it is observed."""
    r = league.PROBLEMS[problem].std[operator]
    return f"{TITLES[problem]}, {operator}, r = {r:g}"


class Figures:
    """The finished cells and their seconds."""

    def __init__(self, folder: Path) -> None:
        self.cells = league.lines(folder / "league.jsonl")
        self.starts = league.lines(folder / "league_starts.jsonl")
        quiet = league.lines(folder / "league_seconds.jsonl")
        self.seconds = {
            key: line["seconds"]
            for key, line in quiet.items()
            if line["values"] == self.cells.get(key, {}).get("values")
        }

    def of(self, problem: str, operator: str, members: int) -> dict[str, dict[str, Any]]:
        """Return the lines of one problem by filter, those with scores first and sorted."""
        found = {
            line["filter"]: line
            for line in self.cells.values()
            if (line["problem"], line["operator"], line["members"]) == (problem, operator, members)
        }

        def order(name: str) -> tuple[int, float]:
            scores = league.scores(found[name])
            return (1, 0.0) if scores is None else (0, scores["rmse.analysis"])

        return {name: found[name] for name in sorted(found, key=order)}

    def tracked(self, line: dict[str, Any]) -> dict[str, str]:
        """Return how many runs track the truth in the end, by where the ensemble starts."""
        other = self.starts.get(_key(line), {})
        twin = league.ef.presets.get(line["problem"]).twin
        here, there = ("truth", "zero") if twin.initial_mean == "truth" else ("zero", "truth")
        found = {here: line, there: other if other.get("values") == line["values"] else {}}
        told = {start: x.get("runs", []) for start, x in found.items()}
        return {
            # older lines do not tell which runs were lost
            start: f"{sum(not r['lost'] for r in runs)} of {len(runs)}"
            if runs and all("lost" in r for r in runs)
            else ""
            for start, runs in told.items()
        }

    def cost(self, line: dict[str, Any]) -> tuple[float, bool]:
        """Return the seconds of an analysis, and whether they were taken quietly."""
        key = _key(line)
        if self.seconds.get(key) is not None:
            return self.seconds[key], True
        scores = league.scores(line)
        return (float("nan") if scores is None else scores["seconds"]), False


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[k] for k in ("problem", "operator", "members", "filter"))


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def table(figures: Figures, problem: str, operator: str, members: int) -> list[str]:
    """Return the rows of one problem."""
    found = figures.of(problem, operator, members)
    if not found:
        return [f"N = {members}: not run yet.\n"]
    rows = [
        f"| N = {members} | RMSE | CRPS | spread/RMSE | kept | found | ms an analysis | tuned to |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, line in found.items():
        scores = league.scores(line)
        if line["status"] != "done":
            rows.append(f"| {NAMES[name]} | | | | | | | not run: {line['reason']} |")
            continue
        tuned = ", ".join(f"{k} {_said(v)}" for k, v in line["values"].items()) or "nothing"
        tracked = figures.tracked(line)
        both = f"| {tracked['truth']} | {tracked['zero']} "
        if scores is None:
            rows.append(f"| {NAMES[name]} | lost | | {both}| | {tuned} |")
            continue
        errors = [r["rmse.analysis"] for r in league.tracking(line)]
        deviation = statistics.stdev(errors) if len(errors) > 1 else float("nan")
        lost = f" ({scores['lost']:.0f} of {len(line['runs'])} lost)" if scores["lost"] else ""
        ratio = scores["spread.analysis"] / scores["rmse.analysis"]
        seconds, quiet = figures.cost(line)
        rows.append(
            f"| {NAMES[name]} | {scores['rmse.analysis']:#.3g} ± {deviation:.1g}{lost} "
            f"| {scores['crps.analysis']:.3g} | {ratio:.2f} {both}"
            f"| {1e3 * seconds:.3g}{'' if quiet else '*'} | {tuned} |"
        )
    return [*rows, ""]


def winners(figures: Figures) -> list[str]:
    """Return, for every problem, the best of the tuned filters, and where `LEnFF()` stands."""
    rows = [
        "| problem | N | lowest RMSE of the tuned | LEnFF() | over the lowest | CRPS, over that of "
        "the same | spread/RMSE | lost |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for problem, rule in league.PROBLEMS.items():
        for operator in rule.std:
            for members in sorted(league.MEMBERS):
                found = figures.of(problem, operator, members)
                scored = {n: s for n, x in found.items() if (s := league.scores(x)) is not None}
                own = scored.pop(league.UNTUNED, None)
                whole = {n: s for n, s in scored.items() if not s["lost"]} or scored
                if not whole or own is None:
                    continue
                first = min(whole, key=lambda name: whole[name]["rmse.analysis"])
                best = whole[first]
                error, lowest = own["rmse.analysis"], best["rmse.analysis"]
                crps = own["crps.analysis"] / best["crps.analysis"]
                runs = len(found[league.UNTUNED]["runs"])
                rows.append(
                    f"| {problem}, {operator} | {members} | {NAMES[first]} {lowest:#.3g} "
                    f"| {error:#.3g} | {error / lowest:.2f} | {crps:.2f} "
                    f"| {own['spread.analysis'] / error:.2f} | {own['lost']:.0f} of {runs} |"
                )
    return [*rows, ""]


def picture(figures: Figures) -> None:
    """Draw error against cost, a panel a problem."""
    panels = [(p, o) for p, rule in league.PROBLEMS.items() for o in rule.std]
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(11, 3.6 * rows), layout="constrained", dpi=110)
    names = (*league.SMALL, *league.SLOW)  # two more than matplotlib's cycle has colours
    colours = dict(zip(names, ["red", *(f"C{k}" for k in range(10)), "black"], strict=True))
    axes = figure.subplots(rows, 2, squeeze=False).flat
    for axis in axes[len(panels) :]:
        axis.remove()
    for (problem, operator), axis in zip(panels, axes[: len(panels)], strict=True):
        for members, marker in MARKERS.items():
            for name, line in figures.of(problem, operator, members).items():
                scores = league.scores(line)
                if scores is not None:
                    x, _ = figures.cost(line)
                    axis.plot(x, scores["rmse.analysis"], marker, color=colours[name], ms=7,
                              mfc="none" if scores["lost"] else colours[name])  # fmt: skip
        axis.set_title(title(problem, operator), fontsize="small")
        if axis.lines:
            axis.set_xscale("log")
            axis.set_yscale("log")
        axis.grid(visible=True, which="both", alpha=0.2)
        axis.set_xlabel("seconds an analysis")
        axis.set_ylabel("RMSE of the analysis")
    handles = [Line2D([], [], marker="s", ls="", color=c, label=NAMES[n])
               for n, c in colours.items()]  # fmt: skip
    handles += [Line2D([], [], marker=m, ls="", color="k", label=f"N = {n}")
                for n, m in MARKERS.items()]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=7)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)


def judged(page: Path) -> str:
    """Return what was written about the figures by hand."""
    if page.exists() and BEGIN in (text := page.read_text()):
        return text.partition(BEGIN)[2].partition(END)[0]
    return "\n\n"


def write(folder: Path) -> None:
    """Write the page; its paragraph between the two comments is kept."""
    figures = Figures(folder)
    page = DOCS / "league.md"
    done = sum(line["status"] == "done" for line in figures.cells.values())
    budgets = [
        "| problem | cycles | trials | seeds a trial | other seeds | most CPU seconds a filter |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {p.preset} | {p.cycles} | {p.trials} | {p.trained} | {p.shown} | {p.cap:g} |"
            for p in league.PROBLEMS.values()
        ),
    ]
    text = [
        "# The league table\n",
        "`LEnFF()`, which has nothing to tune, on five seeds (101 to 105), beside every filter, "
        "each tuned with the same number of trials (`enfilt tune`), then run with seeds that it "
        "has not seen (101 and on). Scores are means over the second half of the cycles and over "
        "those seeds, ± the standard deviation between them. A run that has "
        "[lost the truth](comparing.md) is left out of the means. *Kept* tells in how many runs "
        "the filter tracks the truth at the end where the ensemble starts about it, *found* where "
        "it starts about zero, far away; scores are of the start that the preset has.\n",
        f"{done} cells are done, {len(figures.cells) - done} were not run for the reason given, of "
        f"{len(list(league.cells()))}. Seconds are of two threads on a quiet machine; those with "
        "a star are of one thread while other cells ran. IEnKF and BootstrapPF, which need D x D "
        "matrices or more members than D, are on the problems of D = 40 alone; MASF, SSLS and "
        "ScoreFilter, with a Gaussian prior and 100 steps, there with N = 20.\n",
        "![Error against cost](pictures/league.png)\n",
        "*Error against cost, a panel a problem; open marks lost runs.*\n",
        "## When to use which\n",
        f"{BEGIN}{judged(page)}{END}\n",
        "## Who wins where\n",
        *winners(figures),
    ]
    for problem, rule in league.PROBLEMS.items():
        for operator in rule.std:
            text.append(f"## {title(problem, operator)}\n")
            for members in sorted(league.MEMBERS):
                text += table(figures, problem, operator, members)
    text += [
        "## Budgets\n",
        *budgets,
        "",
        "The start of every filter, and where its options are sought, stand in `bench/league.py` "
        "and in each filter's `search_space`. To run what is not done, and write this page:\n",
        "```sh\npython bench/league.py --run --minutes 60\npython bench/league.py --time\n"
        "python bench/league_page.py\n```",
    ]
    page.write_text("\n".join(text) + "\n")
    picture(figures)
    print(f"wrote {page} and {PICTURE}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    write(parser.parse_args().out)
