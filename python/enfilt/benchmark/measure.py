"""Cases timed: ours and each peer in turn, in pairs, in one process."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks, progress
from .case import Array, Case, Limit, Peer, Problem, Size
from .cases import CASES, get
from .timing import Triad, core, difference, peak, repeats, seconds

#: Seconds that the pairs of one row may take; at least `FEWEST` are timed all the same, but one
#: alone of a peer that takes longer by itself.
BUDGET = 60.0
FEWEST = 3
#: An ensemble smaller than this is lost among the pages that the interpreter takes.
SMALLEST_MEASURED = 1 << 20
#: Ensembles that an analysis may take beside its inputs, and bytes for stacks of threads and such.
MOST_MEMORY, SLACK = 1.1, 2 << 20


@dataclass(frozen=True)
class Row:
    """Ours beside one other, or beside a limit; None: not measured.

    Attributes
    ----------
    case, title : str
    members, dim, steps : int
        N, D and the steps of the sampler or of the model.
    dtype : str
    threads : int
    level : str
        SIMD level.
    beside, version : str
        What ours is timed beside.
    note : str
        Why there are no times, or what there is to say about the result.
    ours, theirs : float or None
        Seconds, medians.
    ratio, ratio_low, ratio_high : float or None
        Theirs over ours, pair by pair: median and quartiles.
    pairs : int
    target : float or None
        What the ratio is to be at least.
    moved : float
        The fewest bytes that ours has to move.
    triad : float
        Bytes a second of c = a + k b in the same process.
    difference, largest : float or None
        The largest difference of the two results, and the largest value.
    ours_memory, theirs_memory : float or None
        Peak beside the inputs, the result included, in ensembles.
    most_memory : float or None
        What that of ours is to be at most.
    """

    case: str
    title: str
    members: int
    dim: int
    steps: int
    dtype: str
    threads: int
    level: str
    beside: str
    version: str
    moved: float
    triad: float
    note: str = ""
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    pairs: int = 0
    target: float | None = None
    difference: float | None = None
    largest: float | None = None
    ours_memory: float | None = None
    theirs_memory: float | None = None
    most_memory: float | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two rows comparable."""
        return (
            self.case, self.members, self.dim, self.steps, self.dtype, self.threads, self.level,
            self.beside,
        )  # fmt: skip

    @property
    def missed(self) -> bool:
        """Whether the row has a target and does not reach it."""
        return self.target is not None and self.ratio is not None and self.ratio < self.target

    @property
    def fills_memory(self) -> bool:
        """Whether ours takes more memory than it is to."""
        used, most = self.ours_memory, self.most_memory
        return used is not None and most is not None and used > most


def run(
    names: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    *,
    quick: bool = False,
    repeat: int = 7,
    show: bool | None = None,
) -> list[Row]:
    """Time cases beside all they are to be timed beside.

    Parameters
    ----------
    names : sequence of str
        Cases; empty: all.
    changes : mapping, optional
        To their sizes: ``members``, ``dim``, ``steps``, ``dtype``. Targets hold without any.
    quick : bool
        Small sizes, to see that everything runs.
    repeat : int
        Pairs of times a row, fewer where they take long, but for three.
    show : bool, optional
        Show a progress bar after two seconds; None: only on a terminal.

    Returns
    -------
    list of Row
        Case by case. Ctrl-C keeps the rows that are done.

    Raises
    ------
    ImportError
        If the compiled core is not there.
    ValueError
        If a case or a size is not known, or a size does not fit.
    """
    _checks.integer("repeat", repeat, 1)
    core()
    chosen = sized(names, changes, quick=quick)
    rows: list[Row] = []
    bar = progress.bar(len(chosen), "timing", show)
    try:
        for case, size in chosen:
            bar.set_postfix(case=case.name, refresh=True)
            for row in time_case(case, size, quick=quick, repeat=repeat):
                rows.append(row)
                bar.set_postfix(case=case.name, done=row.beside, refresh=True)
            bar.update()
    except KeyboardInterrupt:
        pass
    finally:
        bar.close()
    return rows


def sized(
    names: Sequence[str], changes: Mapping[str, Any] | None, *, quick: bool
) -> list[tuple[Case, Size]]:
    """Return cases by name, all without one, with the sizes they are to be run at."""
    cases = [get(name) for name in names] or list(CASES.values())
    return [(c, (c.quick if quick else c.size).replace(changes or {})) for c in cases]


def time_case(case: Case, size: Size, *, quick: bool, repeat: int) -> Any:
    """Yield the rows of a case, one by one: first the floor, then what else there is."""
    triad = triad_for(size, quick=quick)
    problem = case.prepare(size)
    out = np.empty((size.members, size.dim), size.dtype)
    result, used = peak(lambda: problem.ours(None))
    result = np.array(result)
    timer = Timer(problem, out)
    full = size == case.size
    base = Row(
        case=case.name,
        title=case.title,
        members=size.members,
        dim=size.dim,
        steps=size.steps,
        dtype=size.dtype,
        threads=core().threads(),
        level=core().level(),
        beside="",
        version="",
        moved=case.moved(size),
        triad=triad.bandwidth(),
        ours_memory=_in_ensembles(used, size),
        most_memory=MOST_MEMORY + SLACK / size.bytes if full else None,
    )
    floor = Limit("memory, by the triad", lambda rate: case.moved(size) / rate, case.floor_target)
    for other in (floor, *problem.beside):
        row = dataclasses.replace(base, beside=other.name, target=other.target if full else None)
        if isinstance(other, Limit):
            pairs = [(other.seconds(triad.bandwidth()), timer.once()) for _ in range(repeat)]
            yield _with_times(row, pairs)
        else:
            yield _beside(row, other, timer, result, size, repeat, quick)


def triad_for(size: Size, *, quick: bool) -> Triad:
    """Return the triad of a case's dtype; one that fits the caches where only a look is wanted."""
    return Triad(size.dtype, 400_000 if quick else 40_000_000)


class Timer:
    """Ours, timed as often in a row as a time needs to be long enough."""

    def __init__(self, problem: Problem, out: Array) -> None:
        self._problem, self._out = problem, out
        self._number = repeats(seconds(lambda: problem.ours(out)))

    def once(self) -> float:
        """Return the seconds of one call, less those of what is not to count."""
        problem = self._problem
        if self._number > 1:  # the triad, or a peer, has filled the caches
            seconds(lambda: problem.ours(self._out), self._number)
        whole = seconds(lambda: problem.ours(self._out), self._number)
        if problem.base is not None:
            base = problem.base
            whole -= seconds(lambda: base(self._out), self._number)
        # a difference of two times may come out negative on a busy machine
        return max(whole / problem.parts, 1e-9)


def _beside(
    row: Row, peer: Peer, timer: Timer, result: Array, size: Size, repeat: int, quick: bool
) -> Row:
    """Return the row of a peer; one that is not there, or fails, is a row that says so."""
    if peer.needs:
        if importlib.util.find_spec(peer.needs) is None:
            return dataclasses.replace(
                row, note=f"{peer.needs} is not installed: pip install 'enfilt[bench]'"
            )
        row = dataclasses.replace(row, version=importlib.metadata.version(peer.needs))
    try:
        return _timed(row, peer, timer, result, size, repeat, quick)
    except Exception as error:  # other people's code, compilers included
        first = (str(error).strip() or repr(error)).splitlines()[0]
        return dataclasses.replace(row, note=f"failed: {type(error).__name__}: {first}")


def _timed(
    row: Row, peer: Peer, timer: Timer, result: Array, size: Size, repeat: int, quick: bool
) -> Row:
    call: Callable[[], Any] = peer.make()
    if core().threads() != row.threads:  # set by a library when it is imported
        raise RuntimeError(f"{peer.name} has left {core().threads()} of {row.threads} threads")
    begin = time.perf_counter()
    other, used = peak(call)
    once = time.perf_counter() - begin
    if peer.same_result:
        far, largest = difference(result, np.asarray(other))
        row = dataclasses.replace(row, difference=far, largest=largest)
    del other
    note = peer.note if isinstance(peer.note, str) else "" if quick else peer.note()
    row = dataclasses.replace(row, note=note, theirs_memory=_in_ensembles(used, size))
    if once > BUDGET:
        return _with_times(row, [(once, timer.once())])
    number = repeats(once)
    rounds = max(min(FEWEST, repeat), min(repeat, int(BUDGET / max(once, 1e-9))))
    return _with_times(row, [(seconds(call, number), timer.once()) for _ in range(rounds)])


def _with_times(row: Row, pairs: Sequence[tuple[float, float]]) -> Row:
    theirs, ours = np.array(pairs).T
    low, middle, high = (float(q) for q in np.quantile(theirs / ours, (0.25, 0.5, 0.75)))
    return dataclasses.replace(
        row,
        ours=float(np.median(ours)),
        theirs=float(np.median(theirs)),
        ratio=middle,
        ratio_low=low,
        ratio_high=high,
        pairs=len(pairs),
    )


def _in_ensembles(used: int | None, size: Size) -> float | None:
    if used is None or size.bytes < SMALLEST_MEASURED:
        return None
    return used / size.bytes
