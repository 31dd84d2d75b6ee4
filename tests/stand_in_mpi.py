"""Ranks that are threads, for tests where no MPI is: what enfilt.mpi asks of mpi4py."""

import collections
import contextlib
import queue
import sys
import threading
import types

import numpy as np


class Op:
    """An operation on two buffers, `function(one, other, datatype)`, the second changed."""

    def __init__(self, function):
        self.function = function

    @classmethod
    def Create(cls, function, commute=False):
        return cls(function)


class Datatype:
    def Create_contiguous(self, count):
        return self

    def Commit(self):
        return self


class Request:
    def __init__(self, wait):
        self.Wait = wait


class World:
    """What the ranks share: a place for what each brings, and a barrier."""

    def __init__(self, size):
        self.size = size
        self.brought = [None] * size
        self.barrier = threading.Barrier(size, timeout=60)
        self.mail = collections.defaultdict(queue.Queue)


class Comm:
    """One rank's communicator."""

    def __init__(self, world, rank):
        self.world, self.rank = world, rank

    def Dup(self):
        return Comm(self.world, self.rank)

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.world.size

    def allgather(self, value):
        self.world.brought[self.rank] = value
        self.world.barrier.wait()
        found = list(self.world.brought)
        self.world.barrier.wait()
        return found

    def Allreduce(self, sent, got, op):
        parts = self.allgather(np.copy(sent[0]))
        total = parts[-1].copy()
        for part in parts[:-1]:
            op.function(part, total, None)
        got[0][...] = total

    def alltoall(self, values):
        return [row[self.rank] for row in self.allgather(list(values))]

    def Alltoallv(self, sent, got):
        ends = np.cumsum(sent[1])[:-1]
        blocks = self.alltoall(np.split(sent[0].ravel().copy(), ends))
        assert [block.size for block in blocks] == list(got[1])
        got[0].ravel()[...] = np.concatenate(blocks)

    def Isend(self, array, dest):
        self.world.mail[self.rank, dest].put(array.copy())
        return Request(lambda: None)

    def Irecv(self, array, source):
        def wait():
            array[...] = self.world.mail[source, self.rank].get(timeout=60)

        return Request(wait)

    def bcast(self, value, root=0):
        return self.allgather(value)[root]

    def Barrier(self):
        self.world.barrier.wait()


@contextlib.contextmanager
def installed():
    """Let ``import mpi4py.MPI`` find this."""
    module = types.ModuleType("mpi4py.MPI")
    module.DOUBLE, module.Op = Datatype(), Op
    before = {name: sys.modules.get(name) for name in ("mpi4py", "mpi4py.MPI")}
    sys.modules.update({"mpi4py": types.ModuleType("mpi4py"), "mpi4py.MPI": module})
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old


def run(size, check):
    """Call check(comm) on so many ranks, and raise what the first of them raises."""
    world, errors = World(size), []

    def rank(number):
        try:
            check(Comm(world, number))
        except BaseException as error:  # told by the test
            errors.append(error)
            world.barrier.abort()

    with installed():
        threads = [threading.Thread(target=rank, args=(number,)) for number in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise next(
            (e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0]
        )
