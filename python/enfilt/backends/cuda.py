"""CUDA kernels on CuPy arrays, on CuPy's current stream.

Nothing here waits for the device or copies from it, except where a number is the result
(`score_sums`, `all_finite`). Scratch memory comes from CuPy's pool, before a kernel is started.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _memory
from .._lifetimes import kept
from .base import Backend
from .numpy import lenff, plain
from .numpy.backend import NumpyBackend
from .problems import (
    Array,
    DiffusionProblem,
    FlowProblem,
    LocalLists,
    LocalObservations,
    LocalWindow,
    ObservedComponents,
    ProjectionScheme,
    ReducedProblem,
    ScoreSums,
    Stage,
)

# Components of an ensemble that are in float64 at a time.
_BLOCK = 1 << 20


def load() -> Any:
    """Import the extension module.

    Raises
    ------
    ImportError
        If the module, a GPU with its driver, or CuPy is missing; the message says which.
    """
    try:
        core = importlib.import_module("enfilt._cuda")
    except ImportError as error:
        raise ImportError(f"this build has no CUDA kernels ({error})") from None
    count, reason = core.devices()
    if count == 0:
        what = "no GPU" if core.driver() else "no NVIDIA driver"
        raise ImportError(f"{what} ({reason})")
    found = [core.capability(device) for device in range(count)]
    if not any(has_code(core.architectures, *capability) for capability in found):
        gpus = ", ".join(f"{major}.{minor}" for major, minor in found)
        raise ImportError(
            f"these kernels are for the architectures {core.architectures}, and here are GPUs of "
            f"compute capability {gpus}: build them with ENFILT_CUDA_ARCHITECTURES=native"
        )
    return core


def has_code(architectures: str, major: int, minor: int) -> bool:
    """Return whether a build for CMake's CUDA_ARCHITECTURES runs on a GPU of this capability.

    Machine code runs on the minor versions that follow, PTX on all that follow; of lists of other
    words (`native`, `all`) nothing is known but that somebody meant them.
    """
    mine = 10 * major + minor
    for word in architectures.split():
        number, _, kind = word.partition("-")
        if not number.rstrip("af").isdecimal():
            return True
        least = int(number.rstrip("af"))
        if number[-1] in "af":  # of one GPU, or its family, alone
            if least == mine or (number[-1] == "f" and least // 10 == major and least <= mine):
                return True
        elif least <= mine and (kind != "real" or least // 10 == major):
            return True
    return False


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise ImportError(f"no CuPy ({error}): pip install 'enfilt[cuda]'") from None


def _ensembles(problem: Any, some: slice) -> Any:
    """Return the part of a sampler's problem that some ensembles of its batch are."""
    arrays = ("x1", "x0", "start", "noise", "log_weights", "gains")
    parts = {
        name: array[some] for name in arrays if (array := getattr(problem, name, None)) is not None
    }
    observed = problem.observed
    if observed is not None and observed.y.ndim > 1:
        parts["observed"] = observed._replace(y=observed.y[some])
    return dataclasses.replace(problem, **parts)


class CudaBackend(Backend):
    """CUDA kernels."""

    name = "cuda"
    on_device = True

    def __init__(self) -> None:
        self.core = load()
        self.kinds = frozenset(self.core.operators)
        self.xp = _cupy()
        self.graphs: defaultdict[int, Any] = defaultdict(self.core.Graphs)  # by device

    def _run(self, operation: Callable[..., int], like: Array, *arguments: Any) -> None:
        """Start an operation of the module on the GPU of `like`, with the scratch it needs."""
        graphs = self.graphs[_arrays.gpu(like)]
        stream = self.xp.cuda.get_current_stream().ptr
        needed = operation(*arguments, self.core.Place(0, stream, graphs))
        _memory.check_device(self.xp, needed, "pass out=, fewer members, or part of the state")
        scratch = self.xp.empty(max(needed, 1), np.uint8)
        place = self.core.Place(_arrays.address(scratch), stream, graphs)
        operation(*arguments, place)

    def _here(self, observed: ObservedComponents) -> ObservedComponents:
        """Return the observations with all of their arrays on the device."""
        o = observed
        indices = None if o.indices is None else _arrays.beside(o.y, o.indices)
        return o._replace(indices=indices, precision=_arrays.beside(o.y, o.precision))

    def _sampler(self, problem: Any) -> Any:
        """Return a sampler's problem with all that its kernels read on the device there."""
        changed = {}
        if problem.observed is not None:
            changed["observed"] = self._here(problem.observed)
        if getattr(problem, "start", None) is not None:
            changed["start"] = self.xp.asarray(problem.start)
        return dataclasses.replace(problem, **changed)

    def _batches(self, problem: Any, out: Array) -> Iterator[tuple[Any, Array, int]]:
        """Yield a problem, as many ensembles at a time as a grid may have."""
        most = self.core.most_ensembles
        if len(out) <= most:
            yield problem, out, 0
            return
        for first in range(0, len(out), most):
            some = slice(first, first + most)
            yield _ensembles(problem, some), out[some], first

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        out: Array = self.xp.empty((x.shape[0], x1.shape[0]))
        x = self.xp.ascontiguousarray(x)
        self._run(self.core.squared_distances, x, x, x1, x0, stage, out)
        return out

    def pairwise_field(
        self,
        x: Array,
        x1: Array,
        x0: Array | None,
        stage: Stage,
        log_weights: Array | None,
        out: Array,
    ) -> None:
        x = self.xp.ascontiguousarray(x)  # of a sampler with functions of the user's
        self._run(self.core.pairwise_field, x, x, x1, x0, stage, log_weights, out)

    def flow_analysis(self, problem: FlowProblem, out: Array) -> None:
        for part, to, first in self._batches(self._sampler(problem), out):
            self._run(self.core.flow_analysis, to, part, to, first)

    def diffusion_analysis(self, problem: DiffusionProblem, out: Array) -> None:
        for part, to, first in self._batches(self._sampler(problem), out):
            self._run(self.core.diffusion_analysis, to, part, to, problem.batch + first)

    def reduced_analysis(self, problem: ReducedProblem, out: Array) -> None:
        p = self._sampler(problem)
        # one array, of one copy to the device
        tables = self.xp.asarray(np.concatenate([p.precisions, p.stages.ravel(), p.maps.ravel()]))
        if p.gains is not None:
            p = dataclasses.replace(p, gains=self.xp.ascontiguousarray(p.gains))
        # one by one: it is for states so long that one ensemble keeps a GPU busy
        for b in range(len(out)):
            one = slice(b, b + 1)
            part = _ensembles(p, one)
            self._run(self.core.reduced_analysis, out, part, tables, out[one], p.batch + b)

    def letkf_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        rotation: Array | None,
        out: Array,
    ) -> None:
        self._check_letkf(x)
        here = self._window_here(window)
        self._run(self.core.letkf_window, x, x, here, self._here(observed), rotation, out)

    def _window_here(self, window: LocalWindow) -> LocalWindow:
        offsets, weights = map(self.xp.asarray, (window.offsets, window.weights))
        return window._replace(offsets=offsets, weights=weights)

    def letkf_lists(
        self,
        x: Array,
        lists: LocalLists,
        observations: LocalObservations,
        rotation: Array | None,
        out: Array,
    ) -> None:
        self._check_letkf(x)
        self._run(self.core.letkf_lists, x, x, lists, observations.rows, rotation, out)

    def _check_letkf(self, x: Array) -> None:
        most = self.core.letkf_members
        if len(x) > most:
            raise ValueError(
                f"forecast has {len(x)} members: the LETKF on a GPU takes at most {most}, whose "
                f"local problem fits into shared memory"
            )

    def lenff_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        pseudo_times: npt.NDArray[np.float64],
        out: Array,
    ) -> None:
        reach = np.abs(window.offsets).max(axis=0)
        seen = lenff.grouped(window, self.core.lenff_group)
        if seen.columns != window.columns:
            reach = reach[::-1]
        here = self._window_here(seen)
        both = tuple(map(int, reach))
        self._run(self.core.lenff_window, x, x, here, both, self._here(observed), pseudo_times, out)

    def resident(self, lists: LocalLists) -> LocalLists:
        def made() -> tuple[Any, ...]:
            # what the key tells has to live as long as the copies
            return lists.starts, lists.indices, *map(self.xp.asarray, lists[1:4])

        if not lists.weights.size:
            return LocalLists(lists.first, *made()[2:])
        cuda = self.xp.cuda
        place = cuda.Device().id, cuda.get_current_stream().ptr
        key = (id(lists.starts), id(lists.indices), *place)
        return LocalLists(lists.first, *kept(lists.weights, key, made)[2:])

    def lenff_bounds(self, rows: Array, lists: LocalLists, anomalies: Array) -> Array:
        out: Array = self.xp.empty(len(rows))
        self._lenff_lists(rows, lists, anomalies, None, None, out)
        return out

    def lenff_moves(self, rows: Array, lists: LocalLists, anomalies: Array, gains: Array) -> Array:
        out: Array = self.xp.empty_like(rows)
        self._lenff_lists(rows, lists, anomalies, gains, out, None)
        return out

    def _lenff_lists(self, rows: Array, lists: LocalLists, *arrays: Array | None) -> None:
        self._run(self.core.lenff_lists, rows, rows, lists, *arrays)

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        out: Array = self.xp.empty(x.shape[0])
        self._run(self.core.misfit, x, x, self._here(observed), out)
        return out

    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        states = self.xp.zeros((len(x), len(x)))
        for first in range(0, x.shape[1], _BLOCK):
            block = x[:, first : first + _BLOCK].astype(np.float64)
            block -= block.mean(axis=0)
            states += block @ block.T
        values = plain.observe(x, observed)
        precision = _arrays.beside(x, observed.precision).astype(np.float64)
        seen = self.xp.where(self.xp.isnan(observed.y), 0.0, precision)
        grams = self.xp.zeros_like(states)
        for first in range(0, values.shape[1], _BLOCK):
            part = slice(first, first + _BLOCK)
            block = values[:, part].astype(np.float64)
            block -= block.mean(axis=0)
            grams += (block * seen[part]) @ block.T
        return states, grams

    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        members, xp = x.shape[0], self.xp
        sums, to_members, to_truth = xp.empty(4), xp.empty((members, members)), xp.empty(members)
        ranks = xp.empty(members + 1, np.int64)
        self._run(self.core.ensemble_scores, x, x, truth, sums, to_members, to_truth, ranks)
        squared_error, variance, crps, absolute = (float(s) for s in sums.get())
        distances = to_members.get(), to_truth.get()
        return ScoreSums(squared_error, variance, crps, absolute, *distances, ranks.get())

    def lorenz96(self, x: Array, out: Array, dt: float, steps: int, forcing: float) -> None:
        self._run(self.core.lorenz96, x, x, out, dt, steps, forcing)

    def navier_stokes(self, x: Array, out: Array, scheme: ProjectionScheme, steps: int) -> None:
        # NumPy's functions are CuPy's on CuPy arrays
        on_device = scheme._replace(forcing=self.xp.asarray(scheme.forcing))
        NumpyBackend().navier_stokes(x, out, on_device, steps)

    def normals(self, key: int, batch: int, step: int, out: Array) -> None:
        self._run(self.core.normals, out, key, batch, step, out)

    def copy_where(self, flags: Array, x: Array, out: Array) -> None:
        most = self.core.most_ensembles
        for first in range(0, len(x), most):  # the host does not ask which
            parts = (array[first : first + most] for array in (flags, x, out))
            self._run(self.core.copy_where, x, *parts)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        out: Array = self.xp.empty(shape, dtype)
        return out

    def all_finite(self, x: Array) -> bool:
        rows = [self.xp.isfinite(row).all() for row in x.reshape(-1, x.shape[-1])]
        return bool(self.xp.stack(rows).all())
