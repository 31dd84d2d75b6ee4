"""Count the instructions of the CUDA kernels' loops in compiled machine code.

    python tools/cuda_instructions.py build/cuda/_cuda.*.so [--kernel SmallPass] [--arch sm_90]

Runs `cuobjdump -sass` (of CUDA's toolkit, or `pip install nvidia-cuda-cuobjdump`), or reads what
that has printed, from a file that ends with .sass. A line is a loop, which a branch back to an
earlier instruction makes; an inner one stands indented beneath that around it, and is not counted
in it. What a loop does a component follows from how often it runs; that the machine code does not
tell.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_FUNCTION = re.compile(r"^\s*Function : (\S+)")
_ARCH = re.compile(r"^(?:arch = |\s*code for )(sm_\w+)")
_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);")
_TARGET = re.compile(r"0x([0-9a-f]+)\s*$")

#: What instructions are of, by their names without what stands behind a point.
KINDS = {
    "fma": {"FFMA", "FADD", "FMUL"},
    "fma64": {"DFMA", "DADD", "DMUL"},
    "special": {"MUFU"},
    "shared": {"LDS", "STS", "ATOMS"},
    "global": {"LDG", "STG", "ATOMG", "ATOM", "RED", "LD", "ST"},
    "barrier": {"BAR", "WARPSYNC", "SHFL"},
    "local": {"LDL", "STL"},
}


@dataclass
class Loop:
    """Instructions from `first` to the branch back at `last`; None: all of the kernel."""

    first: int
    last: int
    inner: list[Loop] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def kind_of(name: str) -> str:
    """Return what an instruction is counted as: one of `KINDS`, or "other"."""
    base = name.split(".")[0]
    return next((kind for kind, names in KINDS.items() if base in names), "other")


def loops_of(instructions: list[tuple[int, str, str]]) -> Loop:
    """Return a kernel's instructions by loops, each in the innermost that it is in."""
    whole = Loop(instructions[0][0], instructions[-1][0])
    back: dict[int, int] = {}
    for at, name, rest in instructions:
        target = _TARGET.search(rest.strip())
        # an endless branch to itself stands behind the end
        if name.split(".")[0] == "BRA" and target and int(target[1], 16) < at:
            first = int(target[1], 16)
            back[first] = max(back.get(first, 0), at)
    # the widest first, so that what is around a loop is there before it
    for first, last in sorted(back.items(), key=lambda span: (span[0], -span[1])):
        around = whole
        while found := [i for i in around.inner if i.first <= first and last <= i.last]:
            around = found[0]
        around.inner.append(Loop(first, last))
    for at, name, _ in instructions:
        around = whole
        while found := [i for i in around.inner if i.first <= at <= i.last]:
            around = found[0]
        around.counts[kind_of(name)] += 1
    return whole


def kernels(sass: str, arch: str) -> dict[str, list[tuple[int, str, str]]]:
    """Return (address, name, operands) of the instructions of each kernel of an architecture."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    here: list[tuple[int, str, str]] | None = None
    now = ""
    for line in sass.splitlines():
        if match := _ARCH.match(line):
            now, here = match[1], None
        elif match := _FUNCTION.match(line):
            here = found.setdefault(match[1], []) if now == arch else None
        elif here is not None and (match := _LINE.match(line)):
            here.append((int(match[1], 16), match[2], match[3]))
    return {name: lines for name, lines in found.items() if lines}


def rows_of(loop: Loop, depth: int = 0) -> list[tuple[str, Counter[str]]]:
    """Return a label and the counts of a loop and of those in it."""
    label = "once" if depth == 0 else "\N{NO-BREAK SPACE}" * 2 * (depth - 1) + "loop"
    rows = [(label, loop.counts)]
    for inner in loop.inner:
        rows += rows_of(inner, depth + 1)
    return rows


def readable(names: list[str]) -> list[str]:
    """Return the bodies' names of mangled kernels."""
    told = subprocess.run(
        ["c++filt"], input="\n".join(names), text=True, check=True, capture_output=True
    )
    short = (name.replace("enfilt::cuda::", "") for name in told.stdout.splitlines())
    return [name.removeprefix("void run_body<").split(">(")[0].rstrip() for name in short]


def main() -> int:
    """Print the table; return 1 where there is no such kernel."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("--kernel", default="", help="part of the name of those that are shown")
    parser.add_argument("--arch", default="sm_90")
    options = parser.parse_args()
    if options.module.suffix == ".sass":
        sass = options.module.read_text()
    else:
        command = ["cuobjdump", "-sass", str(options.module)]
        sass = subprocess.run(command, text=True, check=True, capture_output=True).stdout
    found = kernels(sass, options.arch)
    named = sorted(zip(readable(list(found)), found.values(), strict=True))
    chosen = [(name, lines) for name, lines in named if options.kernel in name]
    if not chosen:
        print(f"no kernel of {options.arch} is called {options.kernel!r}", file=sys.stderr)
        return 1
    kinds = [*KINDS, "other"]
    print("| kernel | where | all | " + " | ".join(kinds) + " |")
    print("| --- | --- |" + " ---: |" * (len(kinds) + 1))
    for name, lines in chosen:
        for label, counts in rows_of(loops_of(lines)):
            cells = " | ".join(str(counts[kind] or "") for kind in kinds)
            print(f"| {name} | {label} | {counts.total()} | {cells} |")
            name = ""
    return 0


if __name__ == "__main__":
    sys.exit(main())
