"""Checkpoints: a run that was killed goes on with the bits of one that was not."""

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import restarted
from test_twin import assert_same_scores

import enfilt as ef
from enfilt.experiments import checkpoint as module

CYCLES = 12


@pytest.fixture
def context(monkeypatch):
    """Processes that start fast: what they import, their server has imported."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["restarted"])
    return found


def killed(context, folder, cycles, kills, pause, every, store):
    """Kill a run at random moments, and go on with it until it is through; return how often."""
    rng, done, begin = np.random.default_rng(kills), 0, time.perf_counter()
    kept = []
    to = (lambda _, ensemble: kept.append(ensemble.copy())) if store else None
    whole, model = restarted.assimilation(cycles, pause, to)
    about = (time.perf_counter() - begin) / kills
    while not (folder / "whole.pickle").exists():
        here, there = context.Pipe(duplex=False)
        worker = context.Process(
            target=restarted.work, args=(folder, cycles, pause, every, store, there)
        )
        worker.start()
        assert here.poll(60)
        here.recv()
        if done < kills:
            time.sleep(rng.uniform(0, 2 * about))
        else:
            worker.join(120)
        if worker.is_alive():
            worker.kill()
            done += 1
        worker.join(60)
        assert worker.exitcode in (0, -9)
    return whole, model, kept, done


@pytest.mark.skipif(os.name != "posix", reason="kills")
@pytest.mark.parametrize(
    ("cycles", "kills", "every", "store"),
    [
        *((40, 4, 1, False), (30, 3, 4, True)),
        pytest.param(200, 100, 1, False, marks=pytest.mark.slow),
        pytest.param(200, 100, 3, True, marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_moments(context, tmp_path, cycles, kills, every, store):
    if store:
        pytest.importorskip("zarr")
    pause = 0.0 if kills < 100 else 0.02
    whole, model, kept, done = killed(context, tmp_path, cycles, kills, pause, every, store)
    found, drift = pickle.loads((tmp_path / "whole.pickle").read_bytes())
    assert found == restarted.bits(whole)
    np.testing.assert_array_equal(drift, model.drift)
    # of a few the last ones may have come too late
    assert done >= (90 if kills == 100 else kills // 2)
    left = {"run.checkpoint", "run.checkpoint.older", "whole.pickle"}
    if store:
        with pytest.importorskip("xarray").open_zarr(tmp_path / "analysis.zarr") as data:
            np.testing.assert_array_equal(data["state"], np.stack(kept))
        assert not [*tmp_path.rglob("*.partial")]
        left.add("analysis.zarr")
    assert {p.name for p in tmp_path.iterdir()} == left


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "run.checkpoint"


def run(path, cycles=CYCLES, resume=True, **options):
    options = {"every": 3} | options
    result, _ = restarted.assimilation(cycles, checkpoint=path, resume=resume, **options)
    return result


@pytest.fixture
def stopped(path):
    """The checkpoint of cycle 8, and that of cycle 6 beside it."""
    run(path, 8)
    return path


@pytest.fixture(scope="module")
def wanted():
    return restarted.bits(restarted.assimilation(CYCLES)[0])


def test_without_a_checkpoint_a_run_begins(path, wanted):
    assert restarted.bits(run(path)) == wanted
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, f"{path.name}.older"]


def test_more_cycles(stopped, wanted):
    result = run(stopped)
    assert restarted.bits(result) == wanted
    assert (result.seconds > 0).all()


def test_a_run_that_is_through_is_not_run_again(stopped):
    before = stopped.stat().st_mtime_ns
    one, other = run(stopped, 8), restarted.assimilation(8)[0]
    assert restarted.bits(one) == restarted.bits(other)
    assert stopped.stat().st_mtime_ns == before


def test_not_resumed_it_begins_anew(stopped):
    header = head(stopped)
    result = run(stopped, 2, resume=False)
    assert result.cycles == 2
    assert (header["cycles"], head(stopped)["cycles"]) == (8, 2)
    # the checkpoint of another run is no way back for this one
    assert not stopped.with_name(f"{stopped.name}.older").exists()


def head(path):
    return json.loads(path.read_bytes().split(b"\n")[1])


def test_interrupted(path, wanted):
    calls = []

    def model(ensemble, start, stop, rng):
        calls.append(start)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return 0.9 * ensemble + rng.standard_normal(ensemble.shape)

    given = np.random.default_rng(0).standard_normal((5, restarted.DIM))
    options = {"ensemble": given, "seed": 1, "checkpoint": path, "every": 2, "resume": True}
    steps = ef.Assimilation(model, list(restarted.windows(9)))
    first = steps.run(ef.EnKF(), **options)
    assert (first.cycles, first.stopped) == (7, "interrupted")
    second = steps.run(ef.EnKF(), **options)
    third = steps.run(ef.EnKF(), ensemble=given, seed=1)
    assert restarted.bits(second) == restarted.bits(third)


def test_a_run_without_a_seed_goes_on_with_its_own(tmp_path):
    """Also with the draws that statistics are made of."""
    steps = ef.Assimilation(restarted.Drifting(), list(restarted.windows(9)))
    options = {"ensemble": np.random.default_rng(0).standard_normal((5, restarted.DIM))}
    one, other = tmp_path / "one", tmp_path / "other"
    ef.Assimilation(restarted.Drifting(), list(restarted.windows(4))).run(
        ef.EnKF(), **options, checkpoint=one
    )
    shutil.copy(one, other)
    found = [
        restarted.bits(steps.run(ef.EnKF(), **options, checkpoint=path, resume=True))
        for path in (one, other)
    ]
    assert found[0] == found[1]


# -- what is on the disk


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_cut_off(stopped, wanted, share):
    data = stopped.read_bytes()
    stopped.write_bytes(data[: int(share * len(data))])
    with pytest.warns(
        RuntimeWarning, match=r"run.checkpoint (is|was) .*goes on .* cycle 6"
    ) as seen:
        assert restarted.bits(run(stopped)) == wanted
    assert seen[0].filename == restarted.__file__


def test_what_cannot_be_used_takes_no_place(stopped):
    """The older one is kept until there is another one that is whole."""
    older = stopped.with_name(f"{stopped.name}.older")
    stopped.write_bytes(stopped.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="after cycle 6"):
        run(stopped, 9, every=9)
    assert (head(stopped)["cycles"], head(older)["cycles"]) == (9, 6)
    run(stopped, 10, every=9)
    assert (head(stopped)["cycles"], head(older)["cycles"]) == (10, 9)


def test_damaged(stopped, wanted):
    data = bytearray(stopped.read_bytes())
    data[len(data) // 2] ^= 4
    stopped.write_bytes(data)
    with pytest.warns(RuntimeWarning, match="its sum is another one.*after cycle 6"):
        assert restarted.bits(run(stopped)) == wanted


def test_of_another_version(stopped, wanted, monkeypatch):
    data = stopped.read_bytes()
    stopped.write_bytes(data.replace(b'"format": 2', b'"format": 7').replace(b"0.1.0", b"9.8.7"))
    with pytest.warns(RuntimeWarning, match=r"by enfilt 9\.8\.7, in format 7.*after cycle 6"):
        assert restarted.bits(run(stopped)) == wanted
    monkeypatch.setattr(module, "FORMAT", 3)
    with pytest.raises(ValueError, match=r"can't be gone on from: .*in format 2.*in format 2"):
        run(stopped)


def test_of_a_class_that_is_gone(stopped, wanted, monkeypatch):
    data = stopped.read_bytes()
    monkeypatch.setattr(module, "_sum", lambda parts: head(stopped)["sum"])
    stopped.write_bytes(data.replace(b"enfilt.filters.tuned", b"enfilt.filters.older"))
    older = stopped.with_name(f"{stopped.name}.older")
    older.unlink()
    with pytest.raises(ValueError, match=r"can't be read: ModuleNotFoundError.*expected one"):
        run(stopped)


def test_neither_can_be_used(stopped):
    older = stopped.with_name(f"{stopped.name}.older")
    for one in (stopped, older):
        one.write_bytes(one.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"run.checkpoint is cut off; run.checkpoint.older is cut"):
        run(stopped)


def test_killed_between_the_two_names(stopped, wanted):
    stopped.unlink()  # moved to its older name, the new one not yet in its place
    (stopped.parent / f"{stopped.name}.new").write_bytes(b"half of it")
    assert restarted.bits(run(stopped)) == wanted
    assert len([*stopped.parent.iterdir()]) == 2


@pytest.mark.parametrize("when", ["write", "rename"])
def test_no_space_left(stopped, wanted, monkeypatch, when):
    before = {p.name: p.read_bytes() for p in stopped.parent.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if when == "write":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match=r"after cycle 9: No space .* cycle 8 is whole") as error:
            run(stopped)
    assert error.value.errno == errno.ENOSPC
    assert {p.name: p.read_bytes() for p in stopped.parent.iterdir()} == before
    assert restarted.bits(run(stopped)) == wanted


def test_a_disk_that_fills_up(tmp_path, wanted):
    """A real one, of 256 KiB, where the machine lets us have it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        path = disk / "run.checkpoint"
        run(path, 8)
        filling = disk / "filling"
        with pytest.raises(OSError, match="No space"):
            filling.write_bytes(bytes(1 << 20))
        with pytest.raises(OSError, match=r"after cycle 9: No space .* cycle 8 is whole"):
            run(path)
        filling.unlink()
        assert restarted.bits(run(path)) == wanted
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# -- whose it is


def test_of_another_run(stopped):
    given = np.zeros((8, restarted.DIM))
    same = {"ensemble": given, "checkpoint": stopped, "resume": True}
    steps = ef.Assimilation(restarted.Drifting(), restarted.windows(12))
    filt = ef.LEnFF(inflation=ef.inflation.Adaptive())
    for filter_, changed, message in (
        (ef.EnKF(), {"seed": 3}, "is of filter=LEnFF.*, this run of filter=EnKF"),
        (filt, {"seed": 4}, "is of seed=3, this run of seed=4"),
        (filt, {"ensemble": given[1:]}, r"is of shape=\[8, 12\], this run of shape=\[7, 12\]"),
        (filt, {"ensemble": given.astype("f4")}, "is of dtype=float64"),
    ):
        with pytest.raises(ValueError, match=message):
            steps.run(filter_, **(same | changed))
    assert steps.run(filt, **same).cycles == 12  # the seed of the checkpoint
    twin = ef.presets.get("lorenz96").twin
    with pytest.raises(ValueError, match="is of run=assimilation, this run of run=twin experiment"):
        twin.run(filt, members=8, checkpoint=stopped, resume=True)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"resume": True}, ValueError, "resume=True without checkpoint"),
        ({"resume": 1}, TypeError, "resume=1"),
        ({"every": 0}, ValueError, "every=0"),
        ({"checkpoint": 3}, TypeError, "checkpoint=3"),
        ({"checkpoint": "."}, ValueError, r"checkpoint='\.' is a folder"),
    ],
)
def test_bad_arguments(options, kind, message):
    with pytest.raises(kind, match=message):
        restarted.assimilation(1, **options)


# -- twin experiments


@pytest.mark.parametrize("kind", ["enff", "letkf", "plane"])
def test_a_twin_experiment_goes_on(tmp_path, kind):
    model = ef.models.Lorenz96(dim=12, model_noise=0.2)
    obs = [ef.Observation(ef.operators.Every(2, k), std=0.5) for k in (0, 1)]
    filt = {
        "enff": ef.EnFF(steps=3),
        "letkf": ef.LETKF(ef.localization.FromEnsemble(), inflation=ef.inflation.Adaptive()),
        "plane": ef.EnKF(),
    }[kind]
    if kind == "plane":
        model = ef.models.NavierStokes2D(n=4)
    path = tmp_path / "twin.checkpoint"

    def through(cycles, **options):
        twin = ef.TwinExperiment(
            model, obs, cycles=cycles, steps_per_cycle=2, spinup=20, innovations=kind == "enff"
        )
        return twin.run(filt, members=6, seed=1, **options)

    first = through(5, checkpoint=path, every=2)
    assert (first.cycles, head(path)["cycles"]) == (5, 5)
    found, wanted = through(9, checkpoint=path, every=2, resume=True), through(9)
    assert_same_scores(found, wanted)
    for name in ("time", "truth", "mean", "deviation", "field", "observed"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.innovations == wanted.innovations
    assert found.facts.keys() == wanted.facts.keys()
    again = through(9, checkpoint=path, resume=True)  # nothing is left to do
    np.testing.assert_array_equal(again.field, wanted.field)
    assert again.info == wanted.info
