"""``enfilt run ...`` on ranks, the second of which is killed once there is a checkpoint."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from mpi4py import MPI

from enfilt import cli


def kill_when(path):
    while not path.exists():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)


if MPI.COMM_WORLD.Get_rank() == 1:
    checkpoint = Path(sys.argv[sys.argv.index("--out") + 1]) / "lorenz96-1m.checkpoint"
    threading.Thread(target=kill_when, args=(checkpoint,), daemon=True).start()
cli.main()
