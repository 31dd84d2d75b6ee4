"""`enfilt bench`: rows, files, comparisons and pictures. No test depends on a speed."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner

from enfilt import benchmark
from enfilt.benchmark import CASES, Limit, Peer, Problem, Size, measure, report, sweep, timing
from enfilt.benchmark.problems import Flow, PairedScore, lorenz96_analysis
from enfilt.cli import main
from enfilt.localization import GaspariCohn
from enfilt.models import Lorenz96
from enfilt.observation import Observation
from enfilt.operators import Arctan, Identity

pytest.importorskip("enfilt._core", reason="the benchmark times the compiled core")

ELSEWHERE = ["torch", "jax", "dapper", "pykeops"]


@pytest.fixture
def alone(monkeypatch):
    """No peer is installed, and a time is that of one call."""
    real = importlib.util.find_spec

    def find(name, *rest):
        return None if name in ELSEWHERE else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(timing, "SHORTEST", 0.0)


@pytest.fixture
def shell(alone):
    def call(*arguments):
        return CliRunner().invoke(main, ["bench", *map(str, arguments)])

    return call


def timed(**changes):
    """Return a row as if it had been measured."""
    row = measure.Row(
        case="enff", title="flow", members=20, dim=1000, steps=9, dtype="float32", threads=2,
        level="v3", beside="NumPy", version="", moved=1e6, triad=1e10, ours=1e-3, theirs=5e-2,
        ratio=50.0, ratio_low=48.0, ratio_high=52.0, pairs=7, difference=1e-6, largest=13.0,
    )  # fmt: skip
    return dataclasses.replace(row, **changes)


def test_every_case_runs_without_its_peers(alone):
    rows = benchmark.run(quick=True, repeat=1, show=False)
    found = {}
    for row in rows:
        found.setdefault(row.case, []).append(row)
    assert list(found) == list(CASES)
    for name, group in found.items():
        case = CASES[name]
        size = Size(group[0].members, group[0].dim, group[0].steps, group[0].dtype)
        assert size == case.quick
        assert group[0].beside == "memory, by the triad"
        assert [r.beside for r in group[1:]] == [p.name for p in case.prepare(size).beside]
        assert all(row.target is None for row in group)  # targets hold at full size
        for row in group:
            assert not row.note.startswith("failed"), row
            if "not installed" in row.note:
                assert row.ratio is None
                assert row.ours is None
            else:
                assert row.ratio > 0
                assert row.pairs >= 1
            if row.difference is not None:
                assert row.difference <= 1e-4 * row.largest, row
    missing = [row.beside for row in rows if "pip install 'enfilt[bench]'" in row.note]
    assert {"KeOps", "DAPPER", "torch.compile", "jax.jit"} <= set(missing)


def test_targets_of_the_full_sizes():
    wanted = {
        ("enff", "PyTorch, N x N x D broadcasting"): 150,
        ("enff", "torch.compile, matrix products"): 4,
        ("enff", "jax.jit, matrix products"): 4,
        ("enff-linear", "the streaming form"): 15,
        ("lorenz96", "NumPy, roll"): 60,
        ("lorenz96", "torch.compile"): 25,
        ("lorenz96", "jax.jit"): 10,
        ("letkf", "NumPy, a loop with eigh"): 300,
        ("letkf", "DAPPER"): 100,
        ("lenff", "our LETKF"): 5,
        ("ensf-ode", "PyTorch, elementwise"): 20,
    }
    found = {
        (case.name, other.name): other.target
        for case in CASES.values()
        for other in case.prepare(case.quick).beside
    }
    assert wanted.items() <= found.items()
    assert CASES["enff-step"].floor_target == pytest.approx(1 / 2.5)


def test_the_table(shell):
    done = shell("enff-small", "letkf", "--quick", "--repeat", 3, "--set", "members=4")
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("|")]
    assert all(line.count("|") == len(report.HEADER) + 1 for line in lines)
    assert len({len(line) for line in lines}) == 1
    assert "SIMD level" in done.output
    assert "100 microseconds" in done.output
    assert "torch is not installed" in done.output
    assert "dapper is not installed" in done.output
    assert all(line.split("|")[2].strip() == "4" for line in lines[2:])


def test_cells_say_what_was_missed():
    assert "MISSED" not in " ".join(report.cells(timed(target=50.0)))
    cells = dict(zip(report.HEADER, report.cells(timed(target=60.0)), strict=True))
    assert cells["target"] == "60 MISSED"
    assert cells["ratio"] == "50 (48 to 52)"
    assert cells["of the triad"] == "10 %"
    assert cells["difference"] == "1.0e-06 of 13"
    full = timed(ours_memory=1.3, theirs_memory=21.0, most_memory=1.125)
    assert report.cells(full)[-1] == "1.30 / 21.00 MISSED 1.12"
    assert report.cells(timed(ours_memory=1.05, most_memory=1.125))[-1] == "1.05"


def test_json_and_back(shell, tmp_path):
    path = tmp_path / "new" / "rows.json"
    done = shell("lorenz96", "--quick", "--repeat", 3, "--json", path, "--set", "dtype=float64")
    assert done.exit_code == 0, done.output
    rows = report.read(path)
    assert [row.beside for row in rows][:2] == ["memory, by the triad", "NumPy, roll"]
    assert rows[1].dtype == "float64"
    assert rows[1].difference < 1e-12
    facts = json.loads(path.read_text())
    assert {"enfilt", "processor", "cores", "SIMD level", "threads"} <= facts.keys()
    report.write(rows, path)
    assert report.read(path) == rows


def test_compare_finds_what_got_slower(shell, tmp_path):
    path = tmp_path / "old.json"
    run = ["lorenz96", "--quick", "--repeat", 3]
    assert shell(*run, "--json", path).exit_code == 0
    rows = report.read(path)
    for factor, status, word in ((1e-3, 0, "nothing is slower"), (1e6, 1, "slower: lorenz96")):
        before = [
            dataclasses.replace(r, ratio=factor * r.ratio) if r.ratio is not None else r
            for r in rows
        ]
        report.write(before, path)
        done = shell(*run, "--compare", path)
        assert done.exit_code == status, done.output
        assert word in done.output


def test_slower_is_beyond_the_noise():
    old = timed()
    within, beyond = timed(ratio=46.5), timed(ratio=45.5)
    assert not report.compare([within], [old])[0].slower
    (change,) = report.compare([beyond], [old])
    assert change.slower
    assert change.noise == 4.0
    assert "ratio 50 -> 45.5" in change.line()
    assert not report.compare([timed(ratio=45.5, ratio_low=40.0)], [old])[0].slower
    assert not report.compare([timed(ratio=500.0)], [old])[0].slower
    (change,) = report.compare([timed(ratio=45.5, version="2.0")], [timed(version="1.9")])
    assert "NumPy was 1.9, is 2.0" in change.line()


@pytest.mark.parametrize(
    "changes", [{"dim": 999}, {"threads": 1}, {"level": "v2"}, {"pairs": 2}, {"ratio": None}]
)
def test_compare_needs_the_same_rows(changes):
    with pytest.raises(ValueError, match="no row was measured in both"):
        report.compare([timed(**changes)], [timed()])


def test_a_file_that_is_none(shell, tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"rows": [{"case": 1}]}')
    done = shell("enff-small", "--quick", "--compare", path)
    assert done.exit_code == 1
    assert "expected a file written by enfilt bench --json" in done.output
    assert "|" not in done.output  # before all the timing
    done = shell("enff-small", "--quick", "--compare", tmp_path / "absent.json")
    assert done.exit_code == 1
    assert "absent.json" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lorenz"], "did you mean 'lorenz96'?"),
        (["enff", "--set", "dims=3"], "did you mean 'dim'?"),
        (["enff", "--set", "members=1"], "members=1: expected an integer of at least 2"),
        (["enff", "--set", "dtype=int8"], "expected float32 or float64"),
    ],
)
def test_unknown_names_and_bad_sizes(shell, arguments, message):
    done = shell(*arguments)
    assert done.exit_code == 1
    assert message in done.output


def test_the_list(shell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = shell("--list")
    assert done.exit_code == 0
    assert all(name in done.output for name in CASES)


def test_a_peer_that_fails_is_a_row():
    def broken():
        raise RuntimeError("no compiler\nand more")

    x = np.ones((2, 5), np.float32)
    peers = (
        Peer("broken", broken),
        Peer("of another shape", lambda: lambda: x[:1]),
        Peer("fine", lambda: lambda: x + 1),
        Limit("a second", lambda rate: 1.0, 2.0),
    )
    size = Size(2, 5)
    case = benchmark.Case(
        "mine", "a case", size, size, lambda _: Problem(lambda out: x, peers), lambda size: 1.0
    )
    _, broken_row, shape_row, fine, limit = measure.time_case(case, size, quick=True, repeat=2)
    assert broken_row.note == "failed: RuntimeError: no compiler"
    assert "expected (2, 5)" in shape_row.note
    assert fine.difference == 1.0
    assert (limit.target, limit.missed) == (2.0, False)


@pytest.mark.parametrize("times", [[1.0, 9.0, 3.0], [1e-3, 7.0, 9.0, 3.0]], ids=["long", "short"])
def test_what_does_not_count_is_taken_off(monkeypatch, times):
    """The base of a case, and how long the first of many short calls take with cold caches."""
    times = iter(times)
    monkeypatch.setattr(measure, "seconds", lambda run, number=1: next(times))
    problem = Problem(lambda out: out, base=lambda out: out, parts=3)
    assert measure.Timer(problem, np.ones(1)).once() == pytest.approx(2.0)


def test_peak_sees_an_array():
    timing.peak(lambda: np.ones(500_000))
    result, used = timing.peak(lambda: np.ones(500_000))  # memory that was used before
    if used is not None:
        assert 0.9 * result.nbytes <= used <= 1.3 * result.nbytes


def test_plots(shell, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sweep, "AXES", {"dim": (50, 100), "members": (4, 8), "steps": (1, 2)})
    path = tmp_path / "rows.json"
    done = shell("enff", "--quick", "--repeat", 1, "--plot", tmp_path / "pictures", "--json", path)
    assert done.exit_code == 0, done.output
    picture = tmp_path / "pictures" / "bench-enff.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    curves = json.loads(path.read_text())["sweeps"]
    assert [curve["axis"] for curve in curves][:3] == ["dim", "members", "steps"]
    for curve in curves:
        assert len(curve["values"]) == len(curve["times"]) == len(curve["floors"]) > 0
        assert min(*curve["times"], *curve["floors"]) > 0


# The forms of the peers are the same equations, so in float64 they agree with ours.


def agrees(ours, theirs, tolerance):
    theirs = np.asarray(theirs)
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(ours).max()


@pytest.fixture
def torch_forms(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda step: step)  # the form; compiling takes seconds
    from enfilt.benchmark.peers import torch_forms

    return torch_forms


SIZE = Size(6, 50, 5, "float64")


@pytest.fixture
def flow_problem():
    return lorenz96_analysis(SIZE, Arctan(), std=Flow(1).std, spread=0.2)


@pytest.fixture
def start(rng):
    return 3 * rng.standard_normal((5, 40))


def test_flow_in_torch(torch_forms, flow_problem):
    flow = Flow(5)
    ours = flow.filter().analysis(**flow_problem)
    agrees(ours, torch_forms.flow_broadcasting(flow, flow_problem, chunk=16)(), 1e-12)
    agrees(ours, torch_forms.flow_gemm(flow, flow_problem)(), 1e-9)


def test_flow_in_jax(flow_problem):
    pytest.importorskip("jax")
    from enfilt.benchmark.peers import jax_forms

    flow = Flow(5)
    ours = flow.filter().analysis(**flow_problem)
    agrees(ours, jax_forms.flow_gemm(flow, flow_problem)(), 1e-9)


def test_score_in_torch(torch_forms, rng):
    score = PairedScore(100, "ode")
    forecast = 3 * rng.standard_normal(30) + 0.3 * rng.standard_normal((5, 30))
    problem = {
        "forecast": forecast,
        "y": np.arctan(forecast[0]),
        "obs": Observation(Arctan(), std=score.std),
        "noise": rng.standard_normal((5, 30)),
    }
    agrees(
        score.filter().analysis(**problem), torch_forms.score_elementwise(score, problem)(), 1e-6
    )


def test_lorenz96_in_torch(torch_forms, start):
    ours = Lorenz96(dim=40).step(start, 4)
    agrees(ours, torch_forms.lorenz96(start, 4, 8.0, 0.01)(), 1e-12)


def test_lorenz96_in_jax(start):
    pytest.importorskip("jax")
    from enfilt.benchmark.peers import jax_forms

    agrees(Lorenz96(dim=40).step(start, 4), jax_forms.lorenz96(start, 4, 8.0, 0.01)(), 1e-12)


@pytest.mark.parametrize("dim", [10, 60])
def test_analyses_of_dapper(dim):
    pytest.importorskip("dapper")
    from enfilt.benchmark.peers import dapper_forms

    size = Size(6, dim, 1, "float64")
    problem = lorenz96_analysis(size, Identity(), std=1.0, spread=0.5)
    problem["noise"] -= problem["noise"].mean(axis=0)
    taper = GaspariCohn(cutoff=5.0)
    from enfilt import LETKF, EnKF

    agrees(LETKF(taper).analysis(**problem), dapper_forms.letkf(taper, problem)(), 1e-9)
    agrees(EnKF().analysis(**problem), dapper_forms.enkf({**problem, "std": 1.0})(), 1e-9)
