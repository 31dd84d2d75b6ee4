"""The shell: ``enfilt run compare tune reproduce bench list info``."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import math
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import json_rows, tables
from ._config import config
from .experiments import compare as comparison
from .experiments import presets
from .experiments import reproduce as reproduction
from .experiments import settings as named
from .experiments import tune as search
from .experiments.preset import Preset
from .experiments.result import Result
from .experiments.twin import TwinExperiment
from .filters import registry

#: Cycles between two checkpoints, where nobody says.
_EVERY = 10


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="enfilt")
def main() -> None:
    """Ensemble filters for data assimilation, on compiled kernels."""


_JSON = click.option(
    "--json",
    "rows_to",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Also write what the table shows to this file, as JSON; -: to standard output, in place "
    "of the table.",
)


def _console(rows_to: Path | None, *, quiet: bool = False) -> Console:
    """Return where a command prints: nowhere where its rows go to standard output."""
    return Console(quiet=quiet or rows_to == json_rows.STANDARD_OUTPUT)


def _write_rows(console: Console, rows: Any, rows_to: Path | None) -> None:
    if rows_to is None:
        return
    try:
        json_rows.write(rows, rows_to)
    except OSError as error:
        raise click.BadParameter(str(error), param_hint="--json") from None
    console.print(escape(f"wrote {rows_to}"))


@main.command("list")
@_JSON
def list_presets(rows_to: Path | None) -> None:
    """List the presets."""
    console, rows = _console(rows_to), []
    table = Table("preset", "what it is", "N", "cycles", "published RMSE")
    for preset in presets.PRESETS.values():
        figure = "" if preset.published is None else f"{preset.published.rmse:g}"
        table.add_row(
            preset.name, preset.title, str(preset.members), str(preset.twin.cycles), figure
        )
        rows.append(
            {
                "preset": preset.name,
                "title": preset.title,
                "members": preset.members,
                "cycles": preset.twin.cycles,
                "published": None if preset.published is None else preset.published.rmse,
            }
        )
    console.print(table)
    _write_rows(console, rows, rows_to)


@main.command()
@_JSON
def info(rows_to: Path | None) -> None:
    """Say what this installation is and can do."""
    console, found = _console(rows_to), config()
    table = Table(show_header=False, box=None)
    for name, value in found.items():
        table.add_row(f"[bold]{name}[/bold]", escape(str(value)))
    console.print(table)
    _write_rows(console, found, rows_to)


_SET = click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting, such as filter.steps=19 or members=40; may be given more than once.",
)
_OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Directory for what is written.  [default: this one]",
)
_FILE = click.Path(dir_okay=False, path_type=Path)
_PLOT = click.option("--plot/--no-plot", default=True, help="Write the picture (needs matplotlib).")


@main.command()
@click.argument("preset")
@_SET
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all randomness.")
@_OUT
@_PLOT
@click.option("--filter", "name", help="Another filter than the preset's, such as lenff.")
@click.option("--settings", is_flag=True, help="Print the settings and their values, and stop.")
@click.option(
    "--every",
    type=click.IntRange(min=1),
    metavar="K",
    help="Write a checkpoint, PRESET.checkpoint in --out, after every K cycles.",
)
@click.option("--quiet", is_flag=True, help="No table and no progress bar; errors are printed.")
@click.option(
    "--log", is_flag=True, help="A line of each cycle on standard error, in place of a bar."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the checkpoint, if there is one; without --every, one every 10 cycles.",
)
@_JSON
@click.option(
    "--mpi",
    "on_ranks",
    is_flag=True,
    help="On the ranks of mpiexec, each with a part of the state; the preset's filter alone.",
)
def run(
    preset: str,
    changes: tuple[str, ...],
    seed: int,
    out: Path,
    plot: bool,
    name: str | None,
    settings: bool,
    every: int | None,
    resume: bool,
    quiet: bool,
    log: bool,
    rows_to: Path | None,
    on_ranks: bool,
) -> None:
    """Run a preset: print its scores, write a picture and a result file.

    Ctrl-C ends the run; what is done by then is printed and written. A run that was killed is
    taken up again by --resume, which begins it, too.
    """
    runs, writes = TwinExperiment.run, True
    if on_ranks:
        try:
            spread = importlib.import_module(".mpi.twin", __package__)
            runs, writes = spread.run, spread.is_first()
        except ImportError as error:
            raise click.ClickException(str(error)) from None
    console = _console(rows_to, quiet=(quiet and not settings) or not writes)
    if log and writes:
        logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
        logging.getLogger("enfilt").setLevel(logging.INFO)
    try:
        chosen = presets.get(preset)
        if name is not None:
            chosen = chosen.with_filter(name)
        chosen = chosen.replace(_changes(changes))
        twin = chosen.twin
    except (TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if settings:
        _print_settings(console, chosen)
        _write_rows(console, {k: repr(v) for k, v in chosen.settings().items()}, rows_to)
        return
    _make_folder(out)
    console.print(f"[bold]{chosen.title}[/bold]\n{chosen.filter.describe()}, N = {chosen.members}")
    others = {}
    try:
        checkpoint = out / f"{chosen.name}.checkpoint" if resume or every else None
        result = runs(
            twin,
            chosen.filter,
            members=chosen.members,
            seed=seed,
            checkpoint=checkpoint,
            every=every or _EVERY,
            resume=resume,
            progress=False if console.quiet or log else None,
        )
        if result.stopped != "interrupted" and not on_ranks:
            for name, filt in chosen.filters(chosen.beside).items():
                others[name] = comparison.run_quietly(twin, name, filt, chosen.members, seed)
    except (MemoryError, OSError, TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if result.cycles == 0:
        raise click.ClickException(f"no cycle was completed: {result.stopped}")
    tables.print_result(console, chosen, result, others)
    if writes:
        _write(console, chosen, result, out, plot)
    last = chosen.averaged
    rows = {"preset": chosen.name, **result.info, "stopped": result.stopped, "averaged": last}
    rows["scores"] = result.summary(last=last)
    rows["beside"] = {name: found.summary(last=last) for name, found in others.items()}
    _write_rows(console, rows, rows_to if writes else None)
    if result.stopped:
        raise SystemExit(130 if result.stopped == "interrupted" else 1)


@main.command()
@click.argument("preset")
@click.option(
    "--filters",
    "names",
    required=True,
    metavar="A,B,C",
    help="Filters by name, such as enff,ensf,etkf,letkf,bpf.",
)
@_SET
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, metavar="K")
@_OUT
@_PLOT
@_JSON
def compare(
    preset: str,
    names: str,
    changes: tuple[str, ...],
    seeds: int,
    out: Path,
    plot: bool,
    rows_to: Path | None,
) -> None:
    """Run several filters on a preset's truth and observations, seeds 0 to K - 1.

    Prints a table of means over the seeds that did not lose the truth; writes a plot of accuracy
    against cost and a line of JSON a run. A setting of one filter is changed by its name: --set
    letkf.inflation=1.04.
    """
    console = _console(rows_to)
    try:
        wanted = [name.strip() for name in names.split(",") if name.strip()]
        settings = _changes(changes)
        shared = {k: v for k, v in settings.items() if k.partition(".")[0] not in registry.names()}
        chosen = presets.get(preset).replace(shared)
        filters = chosen.filters(wanted)
        for key in settings.keys() - shared.keys():
            name, _, option = key.partition(".")
            if name not in filters:
                raise ValueError(f"{key}: {name} is not among --filters {names}")
            filters[name] = named.with_options(filters[name], {option: settings[key]})
        _make_folder(out)
        show = False if console.quiet else None
        runs = comparison.compare(chosen, filters, range(seeds), show=show)
    except (ImportError, MemoryError, TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if not runs:
        raise click.ClickException("no run was completed")
    table = comparison.rows(runs)
    tables.print_comparison(console, chosen, table)
    written = [out / f"{chosen.name}-compare.jsonl"]
    comparison.write_lines(runs, chosen, written[0])
    if plot:
        picture = written[0].with_suffix(".png")
        try:
            comparison.plot(table, chosen, picture)
            written.append(picture)
        except ImportError as error:
            console.print(escape(f"no picture: {error}"))
    console.print("wrote " + ", ".join(str(p) for p in written))
    _write_rows(console, [dataclasses.asdict(row) for row in table], rows_to)


@main.command()
@click.argument("preset")
@click.option("--filter", "name", required=True, help="The filter by name, such as lenff.")
@click.option("--trials", type=int, default=50, show_default=True, help="Settings tried.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="K",
    help="Run every setting with the seeds 0 to K - 1.",
)
@click.option("--members", type=int, help="N.  [default: the preset's]")
@click.option("--cycles", type=int, help="Of each run.  [default: the preset's]")
@_SET
@_OUT
@_PLOT
def tune(
    preset: str,
    name: str,
    trials: int,
    seeds: int,
    members: int | None,
    cycles: int | None,
    changes: tuple[str, ...],
    out: Path,
    plot: bool,
) -> None:
    """Search the options of a filter that give the lowest error on a preset's problem.

    The trials are kept in --out: called again, or after Ctrl-C, it goes on up to --trials. Writes
    a summary (JSON and Markdown) and a picture of the landscape.
    """
    console = Console()
    _make_folder(out)
    try:
        settings = _changes(changes)
        settings |= {k: v for k, v in (("members", members), ("cycles", cycles)) if v is not None}
        chosen = presets.get(preset).with_filter(name).replace(settings)
        found = search.tune(chosen, name, trials=trials, seeds=range(seeds), folder=out)
    except (ImportError, MemoryError, TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if not found.trials:
        raise click.ClickException("no trial was completed")
    best = found.best
    diverged = sum(not math.isfinite(trial.rmse) for trial in found.trials)
    console.print(
        f"[bold]{chosen.title}[/bold]\n{len(found.trials)} trials, {diverged} diverged; "
        f"lowest RMSE of the analysis {best.rmse:.4g}"
    )
    click.echo(found.expression)
    options = " ".join(f'--set "{key}={value}"' for key, value in found.settings.items())
    click.echo(f"enfilt run {chosen.name} --filter {name} {options}")
    written = found.write(out, picture=False)
    if plot:
        picture = written[0].with_suffix(".png")
        try:
            found.plot(picture)
            written.append(picture)
        except ImportError as error:
            console.print(escape(f"no picture: {error}"))
    console.print(escape("wrote " + ", ".join(str(p) for p in written)))


@main.command()
@click.argument("names", metavar="[PRESET]...", nargs=-1)
@click.option(
    "--quick", is_flag=True, help="Smaller problems, where the figure hardly depends on D."
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, metavar="K")
@_OUT
@_JSON
def reproduce(
    names: tuple[str, ...], quick: bool, seeds: int, out: Path, rows_to: Path | None
) -> None:
    """Run published experiments and print published beside measured.

    Without a PRESET: all of them. Writes the table to reproduce.md; the exit status is 1 if a
    figure is outside its tolerance.
    """
    console = _console(rows_to)
    _make_folder(out)
    try:
        show = False if console.quiet else None
        rows = reproduction.reproduce(names, range(seeds), quick=quick, show=show)
    except (ImportError, MemoryError, TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if not rows:
        raise click.ClickException("no run was completed")
    table = Table(box=None, pad_edge=False)
    for name in reproduction.SHORT:
        table.add_column(name, no_wrap=name in ("preset", "filter"))
    for row in rows:
        table.add_row(*map(escape, reproduction.short_cells(row)))
    console.print(table)
    reproduction.write(rows, out / "reproduce.md", seeds=seeds)
    console.print(escape(f"wrote {out / 'reproduce.md'}"))
    _write_rows(console, [dataclasses.asdict(row) for row in rows], rows_to)
    if not all(row.inside for row in rows):
        raise SystemExit(1)


@main.command()
@click.argument("names", metavar="[CASE]...", nargs=-1)
@click.option("--quick", is_flag=True, help="Small sizes: whether everything runs.")
@click.option("--list", "listed", is_flag=True, help="Print the cases, and stop.")
@_SET
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Pairs of times a row.",
)
@click.option("--json", type=_FILE, metavar="FILE", help="Also write the rows to this file.")
@click.option(
    "--compare",
    "old",
    type=_FILE,
    metavar="FILE",
    help="Print what got slower since an earlier --json; the exit status is 1 if something did.",
)
@click.option(
    "--plot",
    "pictures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Also draw time over D, N, steps and threads, a picture a case.",
)
def bench(
    names: tuple[str, ...],
    quick: bool,
    listed: bool,
    changes: tuple[str, ...],
    repeat: int,
    json: Path | None,
    old: Path | None,
    pictures: Path | None,
) -> None:
    """Time ours beside what one would use instead, the results beside each other.

    Without a CASE: all of them. --set changes their members, dim, steps and dtype. Peers that are
    not installed are rows that say so: pip install 'enfilt[bench]' brings them.
    """
    from . import benchmark  # imports nothing heavy, but is of no use to the other commands
    from .benchmark import command

    if listed:
        table = Table("case", "what it is", "N", "D", "steps")
        for case in benchmark.CASES.values():
            size = case.size
            table.add_row(
                case.name, case.title, *(f"{n:,}" for n in (size.members, size.dim, size.steps))
            )
        Console().print(table)
        return
    try:
        same = command.bench(
            names,
            _changes(changes),
            quick=quick,
            repeat=repeat,
            json=json,
            old=old,
            pictures=pictures,
            say=click.echo,
        )
    except (ImportError, MemoryError, TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if not same:
        raise SystemExit(1)


def _make_folder(out: Path) -> None:
    """Make the folder for what is written: before a run, so that it does not cost one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(str(error), param_hint="--out") from None


def _changes(texts: tuple[str, ...]) -> dict[str, Any]:
    changes = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise click.BadParameter(f"{text!r}: expected KEY=VALUE", param_hint="--set")
        changes[name.strip()] = named.parse_value(value.strip())
    return changes


def _print_settings(console: Console, preset: Preset) -> None:
    table = Table("setting", "value")
    for name, value in preset.settings().items():
        table.add_row(name, repr(value))
    console.print(table)


def _write(console: Console, preset: Preset, result: Result, out: Path, plot: bool) -> None:
    written = [result.save(out / f"{preset.name}.npz")]
    if plot:
        try:
            for kind in result.kinds:
                ending = "" if kind == "overview" else f"-{kind}"
                picture = out / f"{preset.name}{ending}.png"
                result.plot(picture, kind=kind)
                written.append(picture)
        except ImportError as error:
            console.print(escape(f"no picture: {error}"))
    console.print(escape("wrote " + ", ".join(str(p) for p in written)))
