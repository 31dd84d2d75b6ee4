"""Ensembles written to a netCDF file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .sink import SOURCE, Sink, Writer

Array = npt.NDArray[Any]


class NetCDFWriter(Writer):
    """Appends to a file that is open only while a cycle is written."""

    def __init__(
        self, sink: Sink, shape: tuple[int, int], dtype: np.dtype[Any], cycles: int
    ) -> None:
        self._sink, self._members, self._dim = sink, *shape
        self._cycles, self._dtype = cycles, dtype
        self._path = Path(sink.path)
        self._library = _library()
        if self._path.exists():
            self._check()
        elif cycles:
            raise FileNotFoundError(
                f"path={str(self._path)!r} of a sink is gone: it held {cycles} cycles"
            )
        if not cycles:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._library.File(self._path, "w") as file:
                self._make(file)

    def _check(self) -> None:
        """Check that the file may be written to, and holds as many cycles as it has to."""
        cycles = self._cycles
        try:
            with self._library.File(self._path, "r") as file:
                source = file.attrs.get("source")
                held = file.dimensions["time"].size if source == SOURCE else 0
        except Exception as error:  # whatever else it may be, or left by a process that was killed
            raise self._sink.refuse(f"can't be read as netCDF ({error})") from error
        if source != SOURCE:
            raise self._sink.refuse("is no file that a sink has written")
        if held < cycles:
            raise ValueError(
                f"path={str(self._path)!r} of a sink holds {held} cycles, the checkpoint {cycles}: "
                f"expected the file that was written beside it"
            )
        if held > cycles > 0:
            with self._library.File(self._path, "a") as file:
                file.resize_dimension("time", cycles)
                for variable in file.variables.values():
                    if variable.dimensions[:1] == ("time",) and variable.shape[0] > cycles:
                        variable._h5ds.resize(cycles, axis=0)

    def _make(self, file: Any) -> None:
        """Make the variables, of no cycles."""
        sink = self._sink
        file.attrs.update({"Conventions": "CF-1.11", "source": SOURCE})
        coordinates = sink.coordinates(self._members)
        sizes: dict[str, int | None] = {"time": None, sink.member: self._members}
        for name in sink.variables:
            sizes |= sink.dims(name, self._dim)
        file.dimensions = sizes
        for name, (dims, values, attrs) in coordinates.items():
            file.create_variable(name, dims, values.dtype, data=values).attrs.update(attrs)
        for name in sink.variables:
            own = sink.dims(name, self._dim)
            made = file.create_variable(
                name,
                ("time", sink.member, *own),
                self._dtype,
                chunks=(1, 1, *own.values()),
                fillvalue=self._dtype.type(np.nan),
            )
            made.attrs.update(sink.attributes_of(name))

    def append(self, time: Any, ensemble: Array, scores: Mapping[str, float]) -> None:
        sink, at = self._sink, self._cycles
        with self._library.File(self._path, "a") as file:
            number, attrs = sink.encoded(time)
            kind = np.int64 if isinstance(number, int) else np.float64
            numbers = {f"score_{name}": value for name, value in scores.items()}
            for name in ("time", *numbers):
                if name not in file.variables:
                    made = file.create_variable(
                        name,
                        ("time",),
                        kind if name == "time" else np.float64,
                        chunks=(1024,),
                        fillvalue=None if name == "time" else np.nan,
                    )
                    if name == "time":
                        made.attrs.update({"standard_name": "time"} | attrs)
            file.resize_dimension("time", at + 1)
            for j, state in enumerate(ensemble):
                for name, values in sink.parts(state):
                    file.variables[name][at, j] = values
            for name, value in numbers.items():
                file.variables[name][at] = value
            file.variables["time"][at] = number
        self._cycles += 1


def _library() -> Any:
    try:
        import h5netcdf
    except ImportError:
        raise ImportError("sinks.NetCDF needs h5netcdf: pip install 'enfilt[io]'") from None
    return h5netcdf
