"""Compare filters on Lorenz-96 with every second component observed, and write the table.

Two problems: arctan of the component with r = 0.05 (the preset ``lorenz96-partial``), and the
component itself with r = 1. Options were chosen on seeds 0 and 1; the table is of others. MASF
stands there with two priors: the Gaussian one, localized, and one learned on a free run of the
model and trained on in every cycle (needs PyTorch: the extra ``[learned]``).

    python bench/every_second.py --out bench/results
"""

from __future__ import annotations

import argparse
from pathlib import Path

from enfilt import ETKF, LETKF, MASF, EnFF, EnKF, EnSF, presets
from enfilt.experiments import compare, settings
from enfilt.experiments.preset import Preset
from enfilt.inflation import RTPS
from enfilt.localization import GaspariCohn
from enfilt.operators import Every
from enfilt.priors import GaussianPrior, LearnedPrior


def learned(preset: Preset, updates: int) -> LearnedPrior:
    """Return a learned prior, trained on a free run of the preset's model."""
    prior = LearnedPrior(updates=updates)
    every = preset.twin.steps_per_cycle
    prior.pretrain(preset.twin.model, cycles=200, steps_per_cycle=every, updates=3000, rng=0)
    return prior


def arctan(cycles: int) -> tuple[Preset, dict]:
    """Return the preset, and its filters."""
    preset = presets.get("lorenz96-partial").replace({"cycles": cycles})
    names = ("ensf", "masf", "ssls", "enkf", "etkf", "letkf", "bpf")
    filters = {"EnFF": preset.filter, **preset.filters(names)}
    filters["MASF, learned prior"] = MASF(
        mode="published", prior=learned(preset, 20), inflation=RTPS(0.5)
    )
    return preset, filters


def identity(cycles: int) -> tuple[Preset, dict]:
    """Return the preset with linear observations, and filters that suit it."""
    preset = presets.get("lorenz96-partial").replace(
        {"cycles": cycles, "obs.operator": Every(2), "obs.std": 1.0}
    )
    gaussian = GaussianPrior(GaspariCohn(14.0))
    return preset, {
        "EnFF": EnFF(path="f2p", guidance="local", steps=19, sigma_min=0.1, strength=0.5),
        "ensf": EnSF(
            steps=99,
            regress_unobserved=True,
            localization=GaspariCohn(4.0),
            inflation=RTPS(0.7),
        ),
        "masf": MASF(prior=gaussian, inflation=RTPS(0.3)),
        "MASF, learned prior": MASF(prior=learned(preset, 50), inflation=RTPS(0.7)),
        "ssls": settings.with_options(
            preset.rivals["ssls"], {"prior": gaussian, "step_size": 0.016}
        ),
        "enkf": EnKF(RTPS(0.3), GaspariCohn(14.0)),
        "etkf": ETKF(RTPS(0.5)),
        "letkf": LETKF(GaspariCohn(14.0), RTPS(0.3)),
        "bpf": preset.rivals["bpf"],
    }


NAMES = {
    "ensf": "EnSF-LR, localized",
    "masf": "MASF, localized Gaussian prior",
    "ssls": "SSLS, localized Gaussian prior",
    "enkf": "EnKF, localized",
    "etkf": "ETKF",
    "letkf": "LETKF",
    "bpf": "BootstrapPF",
}


def order(row: compare.Row) -> tuple[bool, float]:
    """Sort by error, filters that lost every run last."""
    return row.lost == row.runs, row.mean["rmse.analysis"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="*", default=[2, 3, 4, 5, 6])
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for problem in (arctan, identity):
        preset, filters = problem(options.cycles)
        filters = {NAMES.get(name, name): filt for name, filt in filters.items()}
        runs = compare.compare(preset, filters, options.seeds)
        path = options.out / f"every_second_{problem.__name__}.jsonl"
        compare.write_lines(runs, preset, path)
        print(f"\n{preset.twin.obs}, N = {preset.members}, {len(options.seeds)} seeds\n")
        print("| filter | RMSE | spread | CRPS | ms an analysis | runs lost |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for row in sorted(compare.rows(runs), key=order):
            if row.lost == row.runs:
                print(f"| {row.name} | | | | | {row.lost} of {row.runs} |")
                continue
            rmse, deviation = row.mean["rmse.analysis"], row.deviation["rmse.analysis"]
            print(
                f"| {row.name} | {rmse:.2f} ± {deviation:.2f} "
                f"| {row.mean['spread.analysis']:.2f} | {row.mean['crps.analysis']:.2f} "
                f"| {1e3 * row.mean['seconds']:.2f} | {row.lost} of {row.runs} |"
            )


if __name__ == "__main__":
    main()
