"""Print what the hot CUDA kernels cost a component, by count, from compiled machine code.

    python tools/cuda_table.py build/cuda/_cuda.*.so [--before OTHER/_cuda.*.so] [--arch sm_90]

For each kernel, in float32 with 20 members: instructions of its main loop with those in it, times
how often a component runs them; accesses of shared memory among these; registers; bytes that go to
and from memory; and the time and the share of a copy's bandwidth that follow on an H100 if whatever
is slowest, memory, issue or shared memory, hides the others. All instructions of a loop count, also
of branches that are not taken: a kernel does less. Reads as cuda_instructions.py does, and from
`NAME.sass` the registers of `NAME.resources`, what `cuobjdump -res-usage` has printed.

How often a loop is run the machine code does not tell: it stands here, loop by loop in their order.
A kernel whose loops are others in number is an error: look at them, and write down their runs anew.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cuda_instructions

# H100 SXM: bytes a second of a copy; lanes that start an instruction, or access shared memory
_COPY = 3.0e12
_CLOCK, _MULTIPROCESSORS = 1.755e9, 132
_ISSUE = _CLOCK * _MULTIPROCESSORS * 128
_SHARED = _CLOCK * _MULTIPROCESSORS * 32


@dataclass(frozen=True)
class Work:
    """A kernel, and how often a component runs the main loop of it and the loops in that."""

    kernel: str
    runs: tuple[float, ...]
    bytes: float


@dataclass(frozen=True)
class Row:
    """What is done to a component by one or several kernels, now and at commit 58501eb."""

    name: str
    now: tuple[Work, ...]
    before: tuple[Work, ...]


_SMALL = "SmallPass<float, SteppedPoints<float, {}Advance<float"
_ARCTAN = ", enfilt::device::math::ArctanOperator<Scalars<float> > > > >"
_GIVEN = "SmallPass<float, GivenPoints<float> >"
_HALO = 1024 / (1024 - 120)  # of ten steps of Lorenz-96

ROWS = (
    Row(
        "`EnFF`, a step: small pass, arctan",
        # main, members, prefetch, zeros, an index; points by four, weights; pairs
        (Work(_SMALL.format("Flow") + _ARCTAN, (1, 5, 1, 0, 0, 5, 25, 12.6), 324),),
        # main, zeros; members by four, an index; points, weights, powers; pairs
        (
            Work(
                _SMALL.format("Flow") + "> > >",
                (1, 0, 0, 0, 0, 5, 0, 5, 25, 0, 0, 0, 0, 12.6),
                324,
            ),
        ),
    ),
    Row(
        "`EnSF` mixture, a step: small pass, arctan",
        # as above, with normals by four members after these
        (Work(_SMALL.format("Diffusion") + _ARCTAN, (1, 5, 5, 1, 0, 0, 5, 25, 12.6), 244),),
        (
            Work(
                _SMALL.format("Diffusion") + "> > >",
                (1, 0, 0, 0, 0, 5, 0, 5, 25, 0, 0, 0, 0, 12.6),
                244,
            ),
        ),
    ),
    Row(
        "`EnSF` paired, ten steps, arctan",
        (Work("PairedPass<float" + _ARCTAN[:-4], (20 / 4, 200 / 4), 164),),
        (Work("PairedPass<float>", (20 / 4, 200 / 4, 0, 0, 0, 0), 164),),
    ),
    Row(
        "`Lorenz96`, ten steps of one row",
        # main, four components; read, steps, written
        (Work("Lorenz96Pass<float>", (_HALO / 4, _HALO / 4, 10 * _HALO / 4, _HALO / 4), 8),),
        (Work("Lorenz96Pass<float>", (_HALO / 4, 10 * _HALO / 4), 8),),
    ),
    Row(
        "metrics",
        # main; rows by four columns; down a column twice, by four; pairs
        (Work("ScorePass<float, 128>", (1, 21 / 4, 5, 5, 22), 84),),
        # a pass for the scores of a component, two for distances
        (
            Work("ScorePass<float>", (1, 20, 40, 1, 1), 84),
            Work(_GIVEN, (1, 0, 0, 0, 0, 5, 1, 1, 12.6), 160),
            Work(_GIVEN, (1, 0, 0, 0, 0, 1, 1, 1, 3), 84),
        ),
    ),
)


def works(found: dict[str, list[tuple[int, str, str]]], work: Work) -> Counter[str]:
    """Return what a component takes of a kernel, by kinds.

    Raises
    ------
    ValueError
        If there is no such kernel, or its loops are others than `runs` was written for.
    """
    names = dict(zip(cuda_instructions.readable(list(found)), found, strict=True))
    if work.kernel not in names:
        raise ValueError(f"no kernel is called {work.kernel!r}")
    loops = cuda_instructions.loops_of(found[names[work.kernel]]).inner
    main = max(loops, key=lambda loop: loop.last - loop.first)
    parts = [counts for _, counts in cuda_instructions.rows_of(main)]
    if len(parts) != len(work.runs):
        sizes = [part.total() for part in parts]
        raise ValueError(
            f"{work.kernel} has {len(parts)} loops of {sizes} instructions, but runs are known of "
            f"{len(work.runs)}"
        )
    total: Counter[str] = Counter()
    for runs, counts in zip(work.runs, parts, strict=True):
        for kind, count in counts.items():
            total[kind] += runs * count  # type: ignore[assignment]  # a share of a run
    return total


def registers(resources: str, kernel: str) -> int:
    """Return how many registers a thread of a kernel has, of what `-res-usage` prints."""
    lines = re.findall(r"Function (\S+):\s*REG:(\d+)", resources)
    names = cuda_instructions.readable([name for name, _ in lines])
    return max(int(count) for name, (_, count) in zip(names, lines, strict=True) if name == kernel)


def cells(row: tuple[Work, ...], module: Path, arch: str) -> list[str]:
    """Return the cells of a kernel, or of the several that did its work."""
    sass, resources = texts(module)
    found = cuda_instructions.kernels(sass, arch)
    every = [works(found, work) for work in row]
    instructions = sum(counts.total() for counts in every)
    shared = sum(counts["shared"] for counts in every)
    moved = sum(work.bytes for work in row)
    slowest = max(moved / _COPY, instructions / _ISSUE, shared / _SHARED)
    most = max(registers(resources, work.kernel) for work in row)
    share = moved / _COPY / slowest
    numbers = (instructions, shared, most, moved, 1e12 * slowest)
    return [*(f"{number:.0f}" for number in numbers), f"{100 * share:.0f} %"]


def texts(module: Path) -> tuple[str, str]:
    """Return the machine code of a module and what its kernels use."""
    if module.suffix == ".sass":
        return module.read_text(), module.with_suffix(".resources").read_text()
    options = ("-sass", "-res-usage")
    sass, resources = (
        subprocess.run(
            ["cuobjdump", option, str(module)], text=True, check=True, capture_output=True
        ).stdout
        for option in options
    )
    return sass, resources


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("--before", type=Path, help="that of commit 58501eb")
    parser.add_argument("--arch", default="sm_90")
    options = parser.parse_args()
    print("| | | instructions | shared | registers | bytes | ps | share of a copy |")
    print("| --- | --- |" + " ---: |" * 6)
    for row in ROWS:
        name = row.name
        for when, module, work in (
            ("before", options.before, row.before),
            ("now", options.module, row.now),
        ):
            if module and work:
                told = [name, when, *cells(work, module, options.arch)]
                print("| " + " | ".join(told) + " |")
                name = ""
    return 0


if __name__ == "__main__":
    sys.exit(main())
