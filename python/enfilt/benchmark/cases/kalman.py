"""The Kalman family and the localized flow filter, on Lorenz-96's ring."""

from __future__ import annotations

from collections.abc import Callable

from ...experiments import presets
from ...filters import LETKF, EnKF, EnsembleFilter, LEnFF
from ...inflation import RTPS
from ...localization import GaspariCohn
from ...operators import Arctan, Identity
from ..case import Array, Case, Peer, Problem, Size
from ..peers import numpy_forms
from ..problems import lorenz96_analysis


def letkf(size: Size) -> Problem:
    """Return the LETKF, every component observed, cutoff 14."""
    taper = GaspariCohn(cutoff=14.0)
    filt = LETKF(taper)
    problem = lorenz96_analysis(size, Identity(), std=1.0, spread=0.5)

    def in_dapper() -> Callable[[], Array]:
        from ..peers import dapper_forms

        return dapper_forms.letkf(taper, problem)

    return Problem(
        lambda out: filt.analysis(**problem, out=out),
        (
            Peer("NumPy, a loop with eigh", lambda: numpy_forms.oracle(filt, problem), target=300),
            Peer("DAPPER", in_dapper, "dapper", 100),
        ),
    )


def enkf(size: Size) -> Problem:
    """Return the EnKF with perturbed observations, without localization."""
    filt = EnKF()
    problem = lorenz96_analysis(size, Identity(), std=1.0, spread=0.5)
    problem["noise"] -= problem["noise"].mean(axis=0)

    def in_dapper() -> Callable[[], Array]:
        from ..peers import dapper_forms

        return dapper_forms.enkf({**problem, "std": problem["obs"].std})

    return Problem(
        lambda out: filt.analysis(**problem, out=out),
        (
            Peer("NumPy", lambda: numpy_forms.oracle(filt, problem)),
            Peer("DAPPER", in_dapper, "dapper"),
        ),
    )


def lenff(size: Size) -> Problem:
    """Return the localized flow filter beside the LETKF, one cutoff, without inflation."""
    taper = GaspariCohn(cutoff=12.0)
    filt, beside = LEnFF(taper, steps=size.steps), LETKF(taper)
    problem = lorenz96_analysis(size, Arctan(), std=0.05, spread=0.05)

    def errors() -> str:
        ours = _rmse(LEnFF(taper, steps=size.steps, inflation=RTPS(0.2)))
        theirs = _rmse(LETKF(taper, RTPS(0.35)))
        return f"RMSE {ours:.4f} beside {theirs:.4f} at D = 1,000"

    return Problem(
        lambda out: filt.analysis(**problem, out=out),
        (
            Peer(
                "our LETKF",
                lambda: lambda: beside.analysis(**problem),
                target=5,
                same_result=False,
                note=errors,
            ),
        ),
    )


def _rmse(filt: EnsembleFilter) -> float:
    preset = presets.get("lorenz96-1m").replace({"model.dim": 1000})
    result = preset.twin.run(filt, members=preset.members, seed=0, progress=False)
    return result.summary(last=preset.averaged)["rmse.analysis"]


def _once(size: Size) -> float:
    return 2.0 * size.bytes  # read, write


CASES = (
    Case(
        "letkf", "LETKF, cutoff 14", Size(20, 100_000), Size(5, 300), letkf, _once,
    ),
    Case("enkf", "EnKF, perturbed observations", Size(20, 1_000), Size(5, 100), enkf, _once,
         sweeps=()),
    Case(
        "lenff", "LEnFF, arctan, cutoff 12", Size(20, 1_000_000, 10), Size(5, 2_000, 4), lenff,
        _once, sweeps=("dim", "members", "steps", "threads"),
    ),
)  # fmt: skip
