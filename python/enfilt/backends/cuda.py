"""CUDA kernels on CuPy arrays, on CuPy's current stream.

Nothing here waits for the device or copies from it, except where a number is the result
(`score_sums`, `all_finite`). Scratch memory comes from CuPy's pool, before a kernel is started.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Callable
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

# In the order of `enfilt::Pointwise` in cpp/include/enfilt/problem.hpp.
_KINDS = ("identity", "arctan", "tanh", "sigmoid", "power_integer", "power_real")

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


def _address(array: Array | None) -> int:
    """Return where a CuPy array stands on the device, 0 for None."""
    return 0 if array is None else _arrays.address(array)


def _of(array: Array | None, batch: int) -> int:
    """Return where the part of one ensemble of a batch stands, 0 for None."""
    return 0 if array is None else _address(array[batch])


class CudaBackend(Backend):
    """CUDA kernels."""

    name = "cuda"
    kinds = frozenset(_KINDS)
    on_device = True

    def __init__(self) -> None:
        self.core = load()
        self.xp = _cupy()
        self.graphs: defaultdict[int, Any] = defaultdict(self.core.Graphs)  # by device

    def _run(self, operation: Callable[..., int], like: Array, *arguments: Any) -> None:
        """Start an operation of the module in the dtype of `like`, with the scratch it needs."""
        graphs = self.graphs[_arrays.gpu(like)]
        stream = self.xp.cuda.get_current_stream().ptr
        head = (like.dtype == np.float64, *arguments)
        needed = operation(*head, self.core.Place(0, stream, graphs))
        _memory.check_device(self.xp, needed, "pass out=, fewer members, or part of the state")
        scratch = self.xp.empty(max(needed, 1), np.uint8)
        operation(*head, self.core.Place(_address(scratch), stream, graphs))

    def _parts(self, observed: ObservedComponents | None) -> tuple[tuple[Any, ...], Any] | None:
        """Return the observations as the module takes them, and what has to be kept meanwhile."""
        if observed is None:
            return None
        o = observed
        indices = None if o.indices is None else _arrays.beside(o.y, o.indices)
        precision = _arrays.beside(o.y, o.precision)
        parts = (
            _KINDS.index(o.kind),
            *(o.parameter, o.offset, o.stride, o.size),
            *(_address(indices), _address(o.y), _address(precision)),
            o.precision.size > 1,
        )
        return parts, (indices, precision)

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        out: Array = self.xp.empty((x.shape[0], x1.shape[0]))
        x = self.xp.ascontiguousarray(x)
        self._run(
            self.core.squared_distances,
            x,
            *(_address(x), x.shape[0], _address(x1), _address(x0), *x1.shape),
            np.array(stage),
            _address(out),
        )
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
        self._run(
            self.core.pairwise_field,
            x,
            *(_address(x), x.shape[0], _address(x1), _address(x0), *x1.shape),
            np.array(stage),
            *(_address(log_weights), _address(out)),
        )

    def flow_analysis(self, problem: FlowProblem, out: Array) -> None:
        p = problem
        start = None if p.start is None else self.xp.asarray(p.start)
        for b in range(len(out)):
            found = self._parts(None if p.observed is None else p.observed.of(b))
            self._run(
                self.core.flow_analysis,
                out,
                *(_of(p.x1, b), _of(p.x0, b), *p.x1.shape[1:], _of(out, b)),
                *(p.start_width, _of(start, b), _of(p.noise, b), p.key, b),
                *(p.stages, p.heun, _of(p.log_weights, b)),
                None if found is None else found[0],
            )

    def diffusion_analysis(self, problem: DiffusionProblem, out: Array) -> None:
        p = problem
        for b in range(len(out)):
            found = self._parts(p.observed.of(b))
            assert found is not None
            self._run(
                self.core.diffusion_analysis,
                out,
                *(_of(p.x1, b), *p.x1.shape[1:], _of(out, b)),
                *(_of(p.noise, b), p.key, p.batch + b),
                *(p.schedule, p.score_limit, p.paired, p.standardize),
                found[0],
            )

    def reduced_analysis(self, problem: ReducedProblem, out: Array) -> None:
        p = problem
        # one array, of one copy to the device
        tables = self.xp.asarray(np.concatenate([p.precisions, p.stages.ravel(), p.maps.ravel()]))
        start = None if p.start is None else self.xp.asarray(p.start)
        gains = None if p.gains is None else self.xp.ascontiguousarray(p.gains)
        for b in range(len(out)):
            found = self._parts(None if p.observed is None else p.observed.of(b))
            self._run(
                self.core.reduced_analysis,
                out,
                *(_of(p.x1, b), _of(p.x0, b), *p.x1.shape[1:], _of(out, b)),
                *(p.start_from, _of(start, b), _of(p.noise, b), p.key, p.batch + b),
                *(p.standardize, _address(tables), len(p.precisions), len(p.stages)),
                *(p.heun, p.paired, _of(p.log_weights, b), _of(gains, b)),
                None if found is None else found[0],
            )

    def letkf_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        rotation: Array | None,
        out: Array,
    ) -> None:
        self._check_letkf(x)
        found = self._parts(observed)
        assert found is not None
        offsets, weights = self.xp.asarray(window.offsets), self.xp.asarray(window.weights)
        self._run(
            self.core.letkf_window,
            x,
            *(_address(x), *x.shape, _address(out), _address(rotation)),
            *(window.rows, window.columns, window.periodic, len(window.weights)),
            *(_address(offsets), _address(weights), found[0]),
        )

    def letkf_lists(
        self,
        x: Array,
        lists: LocalLists,
        observations: LocalObservations,
        rotation: Array | None,
        out: Array,
    ) -> None:
        self._check_letkf(x)
        self._run(
            self.core.letkf_lists,
            x,
            *(_address(x), *x.shape, _address(out), _address(rotation)),
            *(lists.first, len(lists.starts) - 1),
            *map(_address, (*lists[1:4], observations.rows)),
        )

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
        found = self._parts(observed)
        assert found is not None
        reach = np.abs(window.offsets).max(axis=0)
        seen = lenff.grouped(window, self.core.lenff_group)
        if seen.columns != window.columns:
            reach = reach[::-1]
        places, weights = self.xp.asarray(seen.offsets), self.xp.asarray(seen.weights)
        self._run(
            self.core.lenff_window,
            x,
            *(_address(x), *x.shape, _address(out), pseudo_times),
            *(seen.rows, seen.columns, seen.periodic, *map(int, reach), len(seen.weights)),
            *(_address(places), _address(weights), found[0]),
        )

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
        self._run(
            self.core.lenff_lists,
            rows,
            *(_address(rows), *rows.shape, *map(_address, lists[1:4]), *map(_address, arrays)),
        )

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        out: Array = self.xp.empty(x.shape[0])
        found = self._parts(observed)
        assert found is not None
        self._run(self.core.misfit, x, _address(x), *x.shape, found[0], _address(out))
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
        self._run(
            self.core.ensemble_scores,
            x,
            *(_address(x), _address(truth), *x.shape),
            *map(_address, (sums, to_members, to_truth, ranks)),
        )
        squared_error, variance, crps, absolute = (float(s) for s in sums.get())
        distances = to_members.get(), to_truth.get()
        return ScoreSums(squared_error, variance, crps, absolute, *distances, ranks.get())

    def lorenz96(self, x: Array, out: Array, dt: float, steps: int, forcing: float) -> None:
        self._run(
            self.core.lorenz96, x, *(_address(x), *x.shape, _address(out), dt, steps, forcing)
        )

    def navier_stokes(self, x: Array, out: Array, scheme: ProjectionScheme, steps: int) -> None:
        # NumPy's functions are CuPy's on CuPy arrays
        on_device = scheme._replace(forcing=self.xp.asarray(scheme.forcing))
        NumpyBackend().navier_stokes(x, out, on_device, steps)

    def normals(self, key: int, batch: int, step: int, out: Array) -> None:
        self._run(self.core.normals, out, key, batch, step, *out.shape, _address(out))

    def copy_where(self, flags: Array, x: Array, out: Array) -> None:
        for flag, ensemble, to in zip(flags, x, out, strict=True):  # the host does not ask which
            self._run(self.core.copy_where, x, *map(_address, (flag, ensemble, to)), to.size)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        out: Array = self.xp.empty(shape, dtype)
        return out

    def all_finite(self, x: Array) -> bool:
        rows = [self.xp.isfinite(row).all() for row in x.reshape(-1, x.shape[-1])]
        return bool(self.xp.stack(rows).all())
