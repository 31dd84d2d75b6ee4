"""That the fuzzing finds what is wrong: answers, errors, crashes and hangs made for it."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from arrays import FILLS, LAYOUTS, Recipe  # noqa: E402
from judge import Call, Record, Spec, like, run  # noqa: E402


def call(function, **options):
    return Call("call", function, "", {"x": Recipe((2, 3))}, **options)


def raising(error):
    def function(x):
        raise error

    return function


@pytest.mark.parametrize(
    ("made", "failure"),
    [
        (call(lambda x: x, check=like("x")), None),
        (call(lambda x: x + np.inf), "call: wrong answer: not finite: inf"),
        (call(lambda x: [1.0, (x, np.nan)]), "call: wrong answer: not finite: nan"),
        (call(lambda x: x[1:], check=like("x")), r"call: wrong answer: shape (1, 3) for (2, 3)"),
        (
            call(lambda x: x.astype("f4"), check=like("x")),
            "call: wrong answer: dtype float32 for float64",
        ),
        (call(lambda x: 3, check=like("x")), "call: wrong answer: no array but a int"),
        (call(raising(ValueError("x has shape ()"))), None),
        (call(raising(FloatingPointError("of x"))), None),
        (call(raising(ValueError("wrong shape"))), "call: no name in ValueError: wrong shape"),
        # a name that is part of a word is none
        (call(raising(TypeError("max"))), "call: no name in TypeError: max"),
        (call(raising(IndexError("x[7]"))), "call: IndexError: x[7]"),
        (call(raising(AssertionError("x"))), "call: AssertionError: x"),
    ],
)
def test_an_answer_is_judged(made, failure):
    record = Record()
    found = run(made, record)
    assert record.made == {"call": 1}
    assert (found is None) if failure is None else found.startswith(failure)


def test_a_plain_function_may_warn():
    def overflows(x):
        warnings.warn("overflow", RuntimeWarning, stacklevel=1)
        return x + np.inf

    assert run(call(overflows), Record()).startswith("call: wrong answer")
    assert run(call(overflows, plain=True), Record()) is None
    assert run(call(lambda x: x + np.inf, plain=True), Record()).startswith("call: wrong answer")


def test_options_are_counted_and_named():
    record = Record()
    broken = Call("Spec.build", Spec(Spec, sigma=Spec(dict, 1)), "build", {})
    assert run(broken, record).startswith("Spec: no name in TypeError")
    assert record.made == {"Spec": 1}
    assert record.refused == {"Spec": 1}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_recipe_is_the_same_numbers_in_any_layout(layout):
    shape = (2, 3)
    wanted = Recipe(shape, "f4", "integers").make()
    found = Recipe(shape, "f4", "integers", layout).make()
    if layout == "repeated":
        wanted = np.broadcast_to(wanted[:1], shape)
    np.testing.assert_array_equal(np.asarray(found), wanted)
    for fill in FILLS:
        assert np.isfinite(Recipe((40,), "f4", fill, seed=3).make()).all(), fill
        assert np.isfinite(Recipe((40,), "f8", fill, seed=3).make()).all(), fill


MODULE = """
import os, time
from hypothesis import strategies as st
from judge import Call

BACKENDS = []

def {name}(number):
    {body}

ALL = {{"{name}": (lambda: st.integers(0, 9).map(
    lambda n: Call("{name}", {name}, "", {{"number": n}})), 100)}}
"""


def fuzz(tmp_path, name, body, *options):
    (tmp_path / "broken_calls.py").write_text(MODULE.format(name=name, body=body))
    where = tmp_path / "found.json"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [
        sys.executable,
        HERE / "run.py",
        "--module=broken_calls",
        f"--json={where}",
        *options,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    return done, json.loads(where.read_text())


def test_a_crash_is_seen_with_what_caused_it(tmp_path):
    body = "os.abort() if number == 7 else None"
    done, found = fuzz(tmp_path, "crash", body, "--calls=500", "--workers=1")
    assert done.returncode == 1
    (failure,) = found["failures"]
    assert failure.startswith("worker 0 died (-6), in\n  crash, seed 0: crash(number=7)")


def test_a_hang_is_seen(tmp_path):
    body = "time.sleep(60 * (number == 7))"
    done, found = fuzz(tmp_path, "hang", body, "--calls=500", "--workers=1", "--patience=2")
    assert done.returncode == 1
    assert found["failures"][0].startswith("worker 0 hangs, in\n  hang, seed 0: hang(number=7)")


def test_a_failure_is_found_once_and_made_small(tmp_path):
    body = "return float('nan') if number > 3 else 1.0"
    done, found = fuzz(tmp_path, "wrong", body, "--calls=20", "--workers=2", "--shrink")
    assert done.returncode == 1
    (failure,) = found["failures"]
    assert failure.startswith("wrong: wrong answer: not finite: nan")
    assert failure.endswith("\n  wrong(number=4)")


def test_calls_are_counted(tmp_path):
    done, found = fuzz(tmp_path, "fine", "return 1.0", "--calls=20", "--workers=2")
    assert done.returncode == 0
    assert found["made"] == {"fine": 20}
    assert found["failures"] == []
