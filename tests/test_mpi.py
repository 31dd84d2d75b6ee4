"""Parts of a state on ranks, which are threads here; .ci/run has the same on two MPIs."""

import pytest
from mpi_checks import CHECKS
from stand_in_mpi import run

import enfilt as ef


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_ranks(check, ranks):
    run(ranks, check)


def test_filters_that_need_the_whole_state_say_so():
    def check(comm):
        dist = ef.mpi.Distributed(comm)
        obs = ef.Observation(ef.operators.Identity(), std=1.0)
        with pytest.raises(TypeError, match="comm: EnKF does not run on parts of a state"):
            ef.EnKF().analysis([[1.0], [2.0]], [0.0], obs, comm=dist)

    run(1, check)


def test_what_is_no_communicator_is_an_error():
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    with pytest.raises(TypeError, match=r"expected an enfilt\.mpi\.Distributed"):
        ef.ETKF().analysis([[1.0], [2.0]], [0.0], obs, comm=3)


def test_without_mpi4py_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mpi4py.MPI", None)
    comm = type("Comm", (), dict.fromkeys(("Dup", "Allreduce", "allgather")))()
    with pytest.raises(ImportError, match=r"pip install 'enfilt\[mpi\]'"):
        ef.mpi.Distributed(comm)
