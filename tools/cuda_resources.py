"""Print the registers of the CUDA kernels from what ptxas said in a build; fail on local memory.

    cmake --build build >log 2>&1 && python tools/cuda_resources.py log

The build has to be one with ENFILT_WERROR, in which ptxas reports.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\S+)' for 'sm_(?P<sm>\d+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def main() -> int:
    """Print the table; return 1 where a kernel uses local memory, or there is no report."""
    found = list(_ENTRY.finditer(Path(sys.argv[1]).read_text()))
    if not found:
        print("no report of ptxas found", file=sys.stderr)
        return 1
    mangled = "\n".join(entry["name"] for entry in found)
    names = subprocess.run(["c++filt"], input=mangled, text=True, check=True, capture_output=True)
    registers: dict[str, dict[int, str]] = {}
    spilled = False
    for entry, full in zip(found, names.stdout.splitlines(), strict=True):
        name = full.replace("enfilt::cuda::", "").removeprefix("void run_body<").split(">(")[0]
        text = entry["registers"]
        if any(int(entry[part]) for part in ("stack", "stores", "loads")):
            spilled = True
            text += f" (stack {entry['stack']}, spills {entry['stores']} + {entry['loads']})"
        registers.setdefault(name, {})[int(entry["sm"])] = text
    architectures = sorted({sm for row in registers.values() for sm in row})
    print("| registers | " + " | ".join(f"sm_{sm}" for sm in architectures) + " |")
    print("| --- |" + " ---: |" * len(architectures))
    for name, row in sorted(registers.items()):
        print(f"| {name} | " + " | ".join(row.get(sm, "") for sm in architectures) + " |")
    return 1 if spilled else 0


if __name__ == "__main__":
    sys.exit(main())
