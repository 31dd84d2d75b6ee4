"""What a run tells while it goes on: a bar, and a line a cycle."""

import io
import logging

import numpy as np
import pytest
from test_assimilation import MODEL, first, windows

import enfilt as ef
from enfilt import progress


@pytest.fixture
def shown(monkeypatch):
    """Run with a terminal, on which bars are drawn each cycle; return what that showed."""
    make = progress.bar

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def eager(*arguments):
        bar = make(*arguments)
        bar.mininterval, bar.miniters, bar.dynamic_miniters = 0, 1, False
        return bar

    def run(seen, filt=None, **options):
        terminal = Terminal()
        with monkeypatch.context() as patched:
            patched.setattr(progress, "DELAY", 0)
            patched.setattr(progress, "bar", eager)
            patched.setattr("sys.stderr", terminal)
            steps = ef.Assimilation(MODEL, seen)
            steps.run(filt, ensemble=first(), seed=0, **options)
        return terminal.getvalue()

    return run


@pytest.mark.parametrize("known", [True, False])
def test_a_bar_tells_cycles_and_chi_square(shown, known):
    seen = windows(4)
    text = shown(seen if known else iter(seen), ef.ETKF())
    assert "ETKF(" in text
    # of all, and the time left, where somebody knows how many there are
    assert ("3/4" in text, "<" in text) == (known, known)
    assert "chi_square=" in text


def test_a_bar_begins_where_the_run_does(shown, tmp_path):
    options = {"filt": ef.ETKF(), "checkpoint": tmp_path / "c"}
    assert shown(windows(4), **options, progress=False) == ""
    text = shown(windows(), **options, resume=True)
    assert [f"{k}/6" in text for k in range(7)] == [k >= 4 for k in range(7)]


def test_a_free_run_says_that_it_is_one(shown):
    assert "free run" in shown(windows(2))


def test_a_line_of_each_cycle(caplog):
    run = ef.Assimilation(MODEL, windows())
    run.run(ef.ETKF(), ensemble=first(), seed=0)
    assert not caplog.records
    with caplog.at_level(logging.INFO, "enfilt"):
        result = run.run(ef.ETKF(), ensemble=first(), seed=0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 6
    told = result.innovations.series("chi_square")[3]
    assert lines[3].startswith(f"cycle 3, time 0.75: chi_square {told:.4g}, forecast ")


def test_nothing_observed_has_no_chi_square(caplog):
    seen = [(moment, np.full(4, np.nan), obs) for moment, _, obs in windows(2)]
    with caplog.at_level(logging.INFO, "enfilt"):
        ef.Assimilation(MODEL, seen).run(ef.ETKF(), ensemble=first(), seed=0)
    assert "chi_square nan" in caplog.text
