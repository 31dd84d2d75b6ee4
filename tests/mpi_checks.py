"""What ranks have to do, as functions of a communicator: `CHECKS`.

tests/test_mpi.py calls them on threads; ``mpiexec -n 4 python tests/mpi_checks.py`` on ranks.
"""

import dataclasses
import sys
import tempfile
import time

import numpy as np

import enfilt as ef

N, D = 6, 531
BACKENDS = ["cpp", "numpy"] if "cpp" in ef.backends.available() else ["numpy"]


def slabs(size):
    """Return uneven parts, of which the last but one of several is empty."""
    weights = np.arange(size, 0, -1.0)
    if size > 2:
        weights[-2] = 0
    ends = np.rint(D * np.cumsum(weights) / weights.sum()).astype(int)
    return [slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def problem(dtype, dim=D):
    rng = np.random.default_rng(dim)
    previous = rng.standard_normal((N, dim))
    forecast = 0.9 * previous + 0.3 * rng.standard_normal((N, dim))
    return [a.astype(dtype) for a in (previous, forecast, rng.standard_normal(dim))]


def mine(part, *arrays):
    return [np.ascontiguousarray(a[..., part]) for a in arrays]


def close(found, wanted, message):
    """Hold sums taken in another order against each other: thousands of roundings."""
    limit = 4096 * np.finfo(wanted.dtype).eps * np.abs(wanted).max()
    apart = np.abs(found - wanted).max()
    assert apart <= limit, (message, apart, limit)


GLOBAL = {
    "EnFF streaming": ef.EnFF(steps=5, algorithm="streaming"),
    "EnFF reduced": ef.EnFF(steps=5, algorithm="reduced"),
    "EnFF Heun": ef.EnFF(path="ot", steps=4, sampler="heun", guidance="monte-carlo"),
    "EnFF covariance": ef.EnFF(path="ot", steps=4, guidance="covariance"),
    "EnFF independent": ef.EnFF(steps=4, coupling="independent"),
    "EnSF": ef.EnSF(steps=5),
    "EnSF paired": ef.EnSF(steps=5, score="paired", standardize_start=True),
    "EnSF reduced": ef.EnSF(steps=5, sampler="ode", algorithm="reduced"),
    "ETKF": ef.ETKF(rotate=True, inflation=ef.inflation.RTPS(0.4)),
    "ETKF adaptive": ef.ETKF(inflation=ef.inflation.Adaptive(local=False)),
    "BootstrapPF": ef.BootstrapPF(jitter=0.3),
}


def options(filt, **changed):
    """Return a filter with other options, which remembers nothing."""
    return dataclasses.replace(filt, **changed)


def every_filter_is_that_of_one_process(comm):
    dist = ef.mpi.Distributed(comm)
    part = slabs(dist.size)[dist.rank]
    for backend in BACKENDS:
        for dtype in (np.float32, np.float64):
            previous, forecast, truth = problem(dtype)
            if backend == "numpy" and (dtype == np.float32 or dist.size > 3):
                continue
            for name, filt in GLOBAL.items():
                filt = options(filt, backend=backend)
                linear = "reduced" in name
                h = ef.operators.Identity() if linear else ef.operators.Arctan()
                y = (truth if linear else np.arctan(truth)).astype(dtype)
                y[::3] = np.nan
                y[: D // 5] = np.nan  # a rank without observations
                # errors of three sizes, of which no rank has all
                std = np.full(D, 40.0 if name == "BootstrapPF" else 0.5)
                std[D // 3 :] *= 2
                std[-D // 3 :] *= 2
                wanted = filt.analysis(
                    forecast, y, ef.Observation(h, std=std), previous=previous, rng=7
                )
                x, seen, before = mine(part, forecast, y, previous)
                obs = ef.Observation(h, std=std[part]) if part.stop > part.start else None
                found = options(filt).analysis(x, seen, obs, previous=before, rng=7, comm=dist)
                assert (found.shape, found.dtype) == (x.shape, dtype)
                close(dist.gather(found), wanted, (backend, name))


def localized_filters_are_those_of_one_process(comm):
    taper = ef.localization.GaspariCohn(cutoff=6.0)
    filters = {
        "LETKF": ef.LETKF(taper, inflation=ef.inflation.RTPS(0.3), rotate=True),
        "LEnFF": ef.LEnFF(taper, steps=4),
    }
    grids = {
        "ring": ef.grids.RegularGrid((D,)),
        "line": ef.grids.RegularGrid((D,), periodic=False),
        "plane": ef.grids.RegularGrid((59, 9)),
        "points": ef.grids.Points(np.arange(D) * 1.01),
    }
    h = ef.operators.Arctan()
    for place, grid in grids.items():
        dist = ef.mpi.Distributed(comm, grid)
        part = slabs(dist.size)[dist.rank]
        dtype = np.float64 if place == "plane" else np.float32
        _, forecast, truth = problem(dtype)
        chosen = np.arange(0, D, 2)
        std = np.linspace(0.3, 0.6, len(chosen))
        obs = ef.Observation(h @ ef.operators.Every(2), std=std, grid=grid)
        own = (chosen >= part.start) & (chosen < part.stop)
        here = None
        if own.any():
            h_here = h @ ef.operators.Subset(chosen[own] - part.start)
            here = ef.Observation(h_here, std=std[own])
        for name, filt in filters.items():
            y = np.arctan(truth[chosen]).astype(dtype)
            y[: D // 10] = np.nan
            for _ in range(2):  # what is sent where is found once
                wanted = filt.analysis(forecast, y, obs, rng=3)
                (x,) = mine(part, forecast)
                found = options(filt).analysis(x, y[own], here, rng=3, comm=dist)
                close(dist.gather(found), wanted, (place, name))
                y = (y + 0.1).astype(dtype)


def what_filters_tune_is_that_of_one_process(comm):
    cases = {
        ef.LEnFF(steps=3): ef.grids.RegularGrid((D,)),
        ef.LETKF(ef.localization.FromEnsemble()): ef.grids.RegularGrid((59, 9), periodic=False),
    }
    for filt, grid in cases.items():
        dist = ef.mpi.Distributed(comm, grid)
        part = slabs(dist.size)[dist.rank]
        obs = ef.Observation(ef.operators.Identity(), std=0.5, grid=grid)
        alone, spread = options(filt), options(filt)
        for cycle in range(2):
            _, x, _ = problem(np.float64)
            x = x * (1 + cycle) + np.sin(np.arange(D) / 3)
            y = np.cos(np.arange(D) / 5 + cycle)
            y[D // 2] = 30.0  # an outlier
            wanted = alone.analysis(x, y, obs)
            here, seen = mine(part, x, y)
            found = spread.analysis(here, seen, obs, comm=dist)
            close(dist.gather(found), wanted, (filt, cycle))
        assert spread.facts.keys() == alone.facts.keys()
        for name, fact in alone.facts.items():
            assert abs(spread.facts[name] - fact) < 1e-9 * max(1, abs(fact)), name


def bits_are_equal_where_parts_end_with_chunks(comm):
    dist = ef.mpi.Distributed(comm)
    if dist.size not in (1, 2, 4) or "cpp" not in BACKENDS:
        return
    dim = 8192
    previous, forecast, y = problem(np.float32, dim)
    obs = ef.Observation(ef.operators.Identity(), std=0.5)
    for name in ("EnFF streaming", "EnFF reduced", "EnFF Heun", "EnSF", "EnSF paired"):
        filt = options(GLOBAL[name], backend="cpp")
        wanted = filt.analysis(forecast, y, obs, previous=previous, rng=7)
        x, seen, before = mine(dist.slab(dim), forecast, y, previous)
        found = filt.analysis(x, seen, obs, previous=before, rng=7, comm=dist)
        assert np.array_equal(dist.gather(found), wanted), name


def scores_are_those_of_one_process(comm):
    dist = ef.mpi.Distributed(comm)
    _, forecast, truth = problem(np.float64)
    wanted = ef.metrics.score(forecast, truth)
    found = dist.score(*mine(slabs(dist.size)[dist.rank], forecast, truth))
    for name, a, b in zip(wanted._fields, found, wanted, strict=True):
        close(np.asarray(a, float), np.asarray(b, float), name)


def models_step_as_in_one_process(comm):
    dist = ef.mpi.Distributed(comm)
    cases = [
        (ef.models.Lorenz96(dim=D), np.float32),
        (ef.models.Lorenz96(dim=40), np.float64),  # parts shorter than a halo
        (ef.models.NavierStokes2D(n=6, iterations=3), np.float64),
    ]
    for model, dtype in cases:
        x = problem(dtype, model.dim)[0]
        part = dist.slab(model.dim) if model.dim < D else slabs(dist.size)[dist.rank]
        wanted = model.step(x, 21)
        found = dist.step(model, *mine(part, x), 21)
        close(dist.gather(found), wanted, model)
        members = dist.by_members(mine(part, x)[0])
        assert np.array_equal(np.concatenate(comm.allgather(members)), x)
        assert np.array_equal(dist.by_space(members, part.stop - part.start), mine(part, x)[0])


class Counting:
    """A communicator that counts what its sums and messages send."""

    def __init__(self, comm):
        self.comm, self.sums, self.sent = comm, [], 0

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def Dup(self):
        return self

    def Allreduce(self, sent, got, op):
        self.sums.append(sent[0].nbytes)
        self.comm.Allreduce(sent, got, op=op)

    def Isend(self, array, dest):
        self.sent += array.nbytes
        return self.comm.Isend(array, dest=dest)


def bytes_are_those_of_the_page(comm):
    counting = Counting(comm)
    dim = 100 * comm.Get_size()
    dist = ef.mpi.Distributed(counting, ef.grids.RegularGrid((dim,)))
    frame, taper = 16 * (N**2 + N + 1), ef.localization.GaspariCohn(5.0)
    obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    x, y = np.random.default_rng(dist.rank).standard_normal((N, 100)), np.zeros(100)
    neighbours = 0 if dist.size == 1 else 2
    cases = [
        (ef.EnFF("ot", steps=7), [frame] * 8, 0),
        (ef.EnFF("ot", steps=7, sampler="heun"), [frame] * 15, 0),
        (ef.EnSF(steps=7, score="paired"), [frame], 0),
        (ef.ETKF(), [frame] * 2, 0),
        (ef.BootstrapPF(), [frame] * 2, 0),
        (ef.LETKF(taper), [16] * 3, (N + 1) * 4),
        (ef.LEnFF(taper, steps=3), [16] * 5, (3 * N + 1) * 9),
    ]
    for filt, sums, numbers in cases:
        for _ in range(2):  # in the first, places are found
            counting.sums, counting.sent = [], 0
            filt.analysis(x, y, obs, rng=1, comm=dist)
        assert counting.sums == sums, (filt, counting.sums)
        assert counting.sent == 8 * neighbours * numbers, (filt, counting.sent)


def twin_experiments_are_those_of_one_process(comm):
    twin = ef.TwinExperiment(
        ef.models.Lorenz96(dim=200),
        ef.Observation(ef.operators.Arctan(), std=0.2),
        cycles=4,
        steps_per_cycle=3,
        spinup=20,
    )
    longer, filt = dataclasses.replace(twin, cycles=6), ef.EnFF(steps=4)
    wanted = longer.run(filt, members=5, seed=3)
    with tempfile.TemporaryDirectory() as folder:
        path = comm.bcast(f"{folder}/run")
        found = ef.mpi.twin.run(twin, filt, comm, members=5, seed=3, checkpoint=path)
        for name in ("rmse", "spread", "crps"):
            close(getattr(found, name).analysis, getattr(wanted, name).analysis[:4], name)
        close(found.mean, wanted.mean[:4], "mean")
        # what ranks have written goes on on another number of them, here one, and the other way
        if comm.Get_rank() == 0:
            resumed = longer.run(filt, members=5, seed=3, checkpoint=path, resume=True)
            close(resumed.rmse.analysis, wanted.rmse.analysis, "resumed")
            twin.run(filt, members=5, seed=3, checkpoint=f"{folder}/alone")
        other = comm.bcast(f"{folder}/alone")
        resumed = ef.mpi.twin.run(
            longer, filt, comm, members=5, seed=3, checkpoint=other, resume=True
        )
        close(resumed.rmse.analysis, wanted.rmse.analysis, "resumed on ranks")
        comm.Barrier()


def raised(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def disagreement_is_one_error(comm):
    dist = ef.mpi.Distributed(comm)
    if dist.size == 1:
        return
    last = dist.rank == dist.size - 1
    x, y = np.zeros((N, 4)), np.zeros(4)
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    cases = {
        "N": lambda: ef.ETKF().analysis(x[: N - last], y, obs, comm=dist),
        "dtype": lambda: ef.ETKF().analysis(
            *([a.astype("f4") for a in (x, y)] if last else (x, y)), obs, comm=dist
        ),
        "steps": lambda: ef.EnFF("ot", steps=5 + last).analysis(x, y, obs, rng=1, comm=dist),
        "rotate": lambda: ef.ETKF(rotate=last).analysis(x, y, obs, rng=1, comm=dist),
        "the state of rng": lambda: ef.ETKF().analysis(x, y, obs, rng=dist.rank, comm=dist),
    }
    for what, call in cases.items():
        error = raised(call)
        texts = comm.allgather(f"{type(error).__name__}: {error}")
        assert len(set(texts)) == 1, texts
        assert f"ranks disagree about {what}: " in texts[0], texts[0]


def a_rank_that_fails_ends_the_call_on_all(comm):
    dist = ef.mpi.Distributed(comm, ef.grids.RegularGrid((50 * comm.Get_size(),)))
    if dist.size == 1:
        return
    x, y = np.random.default_rng(1).standard_normal((N, 50)), np.zeros(50)
    good = ef.Observation(ef.operators.Identity(), std=1.0)

    def h(z):
        if dist.rank == 1:
            time.sleep(0.05)
            raise OSError("the disk is full")
        return z

    # which tells no places of its own
    places = np.arange(50.0)[:, None] + 50 * dist.rank
    bad = ef.Observation(ef.operators.Custom(h, lambda z, u: u), std=1.0, locations=places)
    taper = ef.localization.GaspariCohn(cutoff=5.0)
    filters = (ef.ETKF(), ef.EnFF("ot", steps=3), ef.EnSF(steps=3))
    for filt in (*filters, ef.LETKF(taper), ef.LEnFF(taper, steps=3)):
        error = raised(lambda filt=filt: filt.analysis(x, y, bad, rng=1, comm=dist))
        if dist.rank == 1:
            assert type(error) is OSError, error
        else:
            assert type(error) is ef.mpi.RankError, error
            assert "rank 1: OSError: the disk is full" in str(error)
        # and of what is wrong with an argument
        wrong = np.full(50, np.inf if dist.rank == 1 else 0.0)
        error = raised(lambda filt=filt, y=wrong: filt.analysis(x, y, good, rng=1, comm=dist))
        assert type(error) is (ValueError if dist.rank == 1 else ef.mpi.RankError), error
        # the communicator can be used on
        assert np.isfinite(filt.analysis(x, y, good, rng=1, comm=dist)).all()


def numbers_without_a_seed_are_of_one_state(comm):
    dist = ef.mpi.Distributed(comm)
    x, y = np.random.default_rng(1).standard_normal((N, 50)), np.zeros(50)
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    first = ef.ETKF(rotate=True).analysis(x, y, obs, comm=dist)
    assert all(np.array_equal(first, other) for other in comm.allgather(first))


CHECKS = [
    every_filter_is_that_of_one_process,
    bits_are_equal_where_parts_end_with_chunks,
    localized_filters_are_those_of_one_process,
    what_filters_tune_is_that_of_one_process,
    scores_are_those_of_one_process,
    models_step_as_in_one_process,
    bytes_are_those_of_the_page,
    twin_experiments_are_those_of_one_process,
    disagreement_is_one_error,
    a_rank_that_fails_ends_the_call_on_all,
    numbers_without_a_seed_are_of_one_state,
]

if __name__ == "__main__":
    from mpi4py import MPI

    for check in CHECKS:
        began = time.perf_counter()
        try:
            check(MPI.COMM_WORLD)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            MPI.COMM_WORLD.Abort(1)  # others wait for what this rank would have done
        if MPI.COMM_WORLD.Get_rank() == 0:
            print(
                f"{check.__name__} on {MPI.COMM_WORLD.Get_size()} ranks: "
                f"{time.perf_counter() - began:.1f} s"
            )
