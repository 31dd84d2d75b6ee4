"""Time functions of the user's inside the kernels beside the built-in operator that they equal.

The case: the flow filter, f2p, local guidance, arctan of every component. Beside `Arctan`:
``Componentwise(arctan)``, whose target is at most twice its time; one of exp and log, which become
vector code as arctan does; a function with a sine, which the C library takes a number at a time;
and arctan as `Custom`, in NumPy, which is called with the whole ensemble once a step.

    python bench/componentwise.py --json bench/results/componentwise.json
"""

from __future__ import annotations

import argparse
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

import enfilt as ef
from enfilt.benchmark import Size
from enfilt.benchmark.problems import Flow, lorenz96_analysis
from enfilt.benchmark.timing import machine, wall_and_processor, write_json
from enfilt.operators import Arctan, Componentwise, Custom, Operator


def slope(x: Any) -> Any:
    return 1 / (1 + x * x)


def wavy(x: float) -> float:
    return x + 0.3 * math.sin(x)


def wavy_slope(x: float) -> float:
    return 1 + 0.3 * math.cos(x)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def softplus_slope(x: float) -> float:
    return 1 / (1 + math.exp(-x))


OPERATORS: dict[str, Operator] = {
    "Componentwise(arctan)": Componentwise(np.arctan, slope),
    "Componentwise(log(1 + exp x))": Componentwise(softplus, softplus_slope),
    "Componentwise(x + 0.3 sin x)": Componentwise(wavy, wavy_slope),
    "Custom(arctan)": Custom(np.arctan, lambda x, u: u * slope(x)),
}


def analyse(filt: Any, problem: dict[str, Any], operator: Operator) -> np.ndarray:
    obs = ef.Observation(operator, std=Flow(1).std)
    return filt.analysis(**{**problem, "obs": obs})


def compare(filt: Any, problem: dict[str, Any], repeat: int) -> list[dict[str, Any]]:
    """Time each operator in turn with Arctan; ratios are medians of pairs."""
    analysis = functools.partial(analyse, filt, problem)
    wanted = analysis(Arctan()).copy()
    rows = []
    for label, operator in OPERATORS.items():
        result = analysis(operator).copy()  # compiles, too
        pairs = np.array(
            [
                [wall_and_processor(lambda o=o: analysis(o)) for o in (Arctan(), operator)]
                for _ in range(repeat)
            ]
        )
        built_in, other = pairs[:, 0], pairs[:, 1]
        apart = None
        if "arctan" in label:
            apart = float(np.abs(result - wanted).max())
        rows.append(
            {
                "steps": filt.steps,
                "dtype": str(wanted.dtype),
                "operator": label,
                "Arctan ms": 1e3 * float(np.median(built_in[:, 0])),
                "ms": 1e3 * float(np.median(other[:, 0])),
                "ratio": float(np.median(other[:, 0] / built_in[:, 0])),
                "ratio of processor time": float(np.median(other[:, 1] / built_in[:, 1])),
                "largest difference": apart,
                "largest value": float(np.abs(wanted).max()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--dim", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    rows = []
    for dtype in options.dtypes:
        size = Size(options.members, options.dim, options.steps, dtype)
        problem = lorenz96_analysis(size, Arctan(), std=Flow(1).std, spread=0.2)
        problem["out"] = np.empty_like(problem["forecast"])
        rows += compare(Flow(size.steps).filter(), problem, options.repeat)
    print("| dtype | operator | Arctan, ms | ms | ratio | of processor time | largest difference |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        apart = row["largest difference"]
        print(
            f"| {row['dtype']} | {row['operator']} | {row['Arctan ms']:.0f} "
            f"| {row['ms']:.0f} | {row['ratio']:.2f} | {row['ratio of processor time']:.2f} "
            f"| {'' if apart is None else format(apart, '.1e')} |"
        )
    if options.json:
        write_json(
            {**machine(), "N": options.members, "D": options.dim, "rows": rows}, options.json
        )


if __name__ == "__main__":
    main()
