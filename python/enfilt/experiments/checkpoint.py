"""What a run is taken up from after it was killed: files that are whole, or not there.

A file has one line that says what it is, one of JSON that says whose, and a pickle with the arrays
behind it, which are written from where they lie. Like any pickle it runs code when it is read:
read no checkpoint that somebody else may have written.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import warnings
import zlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from .. import _checks

#: The first line of a checkpoint.
_MAGIC = b"enfilt checkpoint\n"
#: What the others hold; a checkpoint of another number is not read.
FORMAT = 2
#: Bytes read, or taken into a sum, at a time.
_BLOCK = 1 << 24


class UnusableError(Exception):
    """A file is no checkpoint that can be gone on from."""


class Checkpoints:
    """The last two checkpoints of a run: the file itself, and an older one beside it.

    Parameters
    ----------
    path : path
        The older one has ``.older`` behind it.
    every : int
        Cycles from one to the next.
    of : mapping
        What is run, by names: what a checkpoint has to agree with.
    """

    def __init__(self, path: str | os.PathLike[str], every: int, of: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.older = self.path.with_name(self.path.name + ".older")
        self.every = every
        self.of = {name: _without_addresses(value) for name, value in of.items()}
        self.known: int | None = None  # the cycles of the last one that is whole, and of this run
        self._is_whole = False  # the file itself, which may then take the older one's place

    def is_due(self, cycles: int) -> bool:
        """Whether one is to be written after so many cycles."""
        return cycles % self.every == 0 and cycles != self.known

    def write(self, cycles: int, state: Any) -> None:
        """Write a checkpoint after so many cycles: it appears whole or not at all.

        Raises
        ------
        OSError
            If it can't be written; what was there is still there.
        """
        new = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with new.open("wb") as file:
                    _write(file, {"cycles": cycles, "of": self.of}, state)
                if self.known is None:  # another run's is no way back for this one
                    self.older.unlink(missing_ok=True)
                elif self._is_whole:
                    self.path.replace(self.older)
                new.replace(self.path)
                _to_disk(self.path.parent)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            left = (
                "there is none of this run before it"
                if self.known is None
                else f"that of cycle {self.known} is whole, from which resume=True goes on"
            )
            raise OSError(
                error.errno,
                f"checkpoint={str(self.path)!r} can't be written after cycle {cycles}: "
                f"{error.strerror or error}; {left}",
            ) from error
        self.known, self._is_whole = cycles, True

    def read(self) -> Any:
        """Return the state of the last checkpoint that can be used, or None where there is none.

        Raises
        ------
        ValueError
            If there are some, and none can be used, or they are of another run.
        """
        wrong = []
        for path in (self.path, self.older):
            try:
                with path.open("rb") as file:
                    header, state = _read(file)
            except FileNotFoundError:
                continue
            except (UnusableError, OSError) as error:
                wrong.append(f"{path.name} {error}")
                continue
            self._check(path, header["of"])
            self.known, self._is_whole = int(header["cycles"]), path is self.path
            if wrong:
                warnings.warn(
                    f"checkpoint {'; '.join(wrong)}: the run goes on from {path.name}, after cycle "
                    f"{self.known}",
                    RuntimeWarning,
                    stacklevel=_checks.users_level(),
                )
            return state
        if wrong:
            raise ValueError(
                f"checkpoint={str(self.path)!r} can't be gone on from: {'; '.join(wrong)}; "
                f"expected one of this version that is whole, or none"
            )
        return None

    def _check(self, path: Path, of: Mapping[str, Any]) -> None:
        """Check that a checkpoint is of the same run."""
        for name, value in self.of.items():
            if of.get(name) != value and (name, value) != ("seed", None):
                raise ValueError(
                    f"checkpoint {str(path)!r} is of {name}={of.get(name)}, this run of "
                    f"{name}={value}: expected the same, or another path"
                )


def checked(
    checkpoint: str | os.PathLike[str] | None, every: int, resume: bool, of: Mapping[str, Any]
) -> Checkpoints | None:
    """Check the arguments of a run that say something of checkpoints."""
    if not isinstance(resume, bool):
        raise TypeError(f"resume={resume!r}: expected True or False")
    _checks.integer("every", every, 1)
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True without checkpoint: expected its path")
        return None
    if not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(f"checkpoint={checkpoint!r}: expected a path")
    if Path(checkpoint).is_dir():
        raise ValueError(f"checkpoint={str(checkpoint)!r} is a folder: expected that of a file")
    return Checkpoints(checkpoint, every, of)


def _without_addresses(value: Any) -> Any:
    """Return a text without where functions lie, which is another place in another process."""
    return re.sub(r" at 0x[0-9a-f]+", "", value) if isinstance(value, str) else value


def _write(file: BinaryIO, header: dict[str, Any], state: Any) -> None:
    buffers: list[pickle.PickleBuffer] = []
    parts: list[Any] = [pickle.dumps(state, protocol=5, buffer_callback=buffers.append)]
    parts += [buffer.raw() for buffer in buffers]
    sizes = [len(part) for part in parts]
    header |= {"format": FORMAT, "enfilt": _version(), "sizes": sizes, "sum": _sum(parts)}
    file.write(_MAGIC)
    file.write(json.dumps(header).encode() + b"\n")
    for part in parts:
        file.write(part)
    file.flush()
    os.fsync(file.fileno())


def _read(file: BufferedReader) -> tuple[dict[str, Any], Any]:
    if file.readline(len(_MAGIC)) != _MAGIC:
        raise UnusableError("is no checkpoint")
    try:
        header = json.loads(file.readline())
        if header["format"] != FORMAT:
            raise UnusableError(
                f"was written by enfilt {header['enfilt']}, in format {header['format']}, and not "
                f"in {FORMAT}, as by this version, {_version()}"
            )
        parts = []
        for size in header["sizes"]:
            part = bytearray(size)
            if file.readinto(part) != size:
                raise UnusableError("is cut off")
            parts.append(part)
        if _sum(parts) != header["sum"] or file.read(1):
            raise UnusableError("is damaged: its sum is another one")
        return header, pickle.loads(parts[0], buffers=parts[1:])
    except UnusableError:
        raise
    except (ValueError, KeyError, TypeError) as error:  # of its head
        raise UnusableError(f"is cut off, or damaged: {error!r}") from error
    except Exception as error:  # a pickle of classes that are no longer there
        raise UnusableError(f"can't be read: {error!r}") from error


def _sum(parts: list[Any]) -> int:
    total = 0
    for part in parts:
        view = memoryview(part)
        for first in range(0, len(view), _BLOCK):
            total = zlib.crc32(view[first : first + _BLOCK], total)
    return total


def _to_disk(folder: Path) -> None:
    """See to it that names of files are on the disk."""
    with contextlib.suppress(OSError):  # some file systems can't
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _version() -> str:
    from .. import __version__  # read from the package's metadata when it is asked for

    return str(__version__)
