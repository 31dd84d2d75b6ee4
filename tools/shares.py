"""Print how evenly kernels share out their work among threads, as a table for a page.

Compiles `tests/programs/shares.cpp`, which asks the kernels how they would cut up a problem.

    python tools/shares.py
"""

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def shares() -> dict[str, dict[tuple[int, int], tuple[int, float]]]:
    """Return (tasks, largest share over an even one) by kernel, by (D, threads)."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "shares"
        source = ROOT / "tests/programs/shares.cpp"
        # it runs here: a processor without AVX-512 has narrower vectors, and other shares
        command = ["g++", "-std=c++17", "-O0", "-fopenmp", "-march=native"]
        include = f"-I{ROOT / 'cpp/include'}"
        subprocess.run([*command, include, source, "-o", program], check=True)
        lines = subprocess.check_output([program], text=True).splitlines()
    found: dict[str, dict[tuple[int, int], tuple[int, float]]] = {}
    for line in lines:
        kernel, dim, threads, tasks, share = line.split("\t")
        found.setdefault(kernel, {})[int(dim), int(threads)] = int(tasks), float(share)
    return found


def main() -> None:
    """Print the table."""
    table = shares()
    cases = list(next(iter(table.values())))
    print("| kernel |", " | ".join(f"{dim:.0e}, {threads}" for dim, threads in cases), "|")
    print("| --- |", " --- |" * len(cases))
    for kernel, row in table.items():
        cells = [f"{tasks}: {share:.2f}" for tasks, share in (row[case] for case in cases)]
        print(f"| {kernel} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
