"""Print where the reduced form of the flow filter pays: both times over N, D and steps.

The rule of ``algorithm="auto"`` was made from it. ``enfilt bench enff-linear enff-every-second``
times both forms at a million components.

    python bench/reduced.py --path f2p --dtype float32
"""

from __future__ import annotations

import argparse

import numpy as np

import enfilt as ef
from enfilt.benchmark import Size
from enfilt.benchmark.problems import lorenz96_analysis
from enfilt.benchmark.timing import seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", choices=["f2p", "ot", "ve"], default="f2p")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--backend", default="cpp")
    options = parser.parse_args()
    print("| path | N | D | dtype | steps | streaming us | reduced us | times |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for members in (5, 20, 50, 100):
        for dim in (40, 400, 4_000, 40_000, 400_000):
            if members * dim > 10_000_000:
                continue
            size = Size(members, dim, dtype=options.dtype)
            problem = lorenz96_analysis(size, ef.operators.Identity(), std=0.5, spread=0.2)
            out = np.empty_like(problem["forecast"])
            for steps in (1, 3, 5, 10, 30):
                streaming, reduced = (best(options, a, steps, problem, out) for a in FORMS)
                print(
                    f"| {options.path} | {members} | {dim} | {options.dtype} | {steps} "
                    f"| {1e6 * streaming:.0f} | {1e6 * reduced:.0f} | {streaming / reduced:.2f} |"
                )


FORMS = ("streaming", "reduced")


def best(
    options: argparse.Namespace, algorithm: str, steps: int, problem: dict, out: np.ndarray
) -> float:
    """Return the best of three times of one form."""
    filt = ef.EnFF(
        path=options.path,
        steps=steps,
        sigma_min=0.01,
        strength=0.05,
        algorithm=algorithm,
        backend=options.backend,
    )

    def run() -> None:
        filt.analysis(**problem, out=out)

    number = max(1, min(50, int(0.02 / seconds(run))))
    return min(seconds(run, number) for _ in range(3))


if __name__ == "__main__":
    main()
