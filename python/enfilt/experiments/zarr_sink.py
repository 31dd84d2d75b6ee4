"""Ensembles written to a Zarr store."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .sink import SOURCE, Sink, Writer

Array = npt.NDArray[Any]

#: Times, and scores, in one chunk.
_CYCLES = 1024


class ZarrWriter(Writer):
    """Appends to a store, which is whole after each cycle.

    The time is written last: so many cycles there are. What a killed process has left behind them
    is cut off when a run goes on.
    """

    def __init__(
        self, sink: Sink, shape: tuple[int, int], dtype: np.dtype[Any], cycles: int
    ) -> None:
        self._sink, self._members, self._dim = sink, *shape
        self._cycles, self._dtype = cycles, dtype
        path = Path(sink.path)
        mode: Any = "r+" if self._goes_on(path, cycles) else "w"
        if mode == "w" and path.is_dir():
            shutil.rmtree(path)
        self._path = str(path)
        self._group: Any = _library().open_group(
            self._path, mode=mode, zarr_format=3, use_consolidated=False
        )
        if mode == "w":
            self._make()
            self._publish()
            return
        for partial in path.rglob("*.partial"):  # of a process that was killed
            partial.unlink()
        for _, array in self._group.arrays():
            if array.metadata.dimension_names[:1] == ("time",):
                array.resize((cycles, *array.shape[1:]))
        self._publish()

    def _goes_on(self, path: Path, cycles: int) -> bool:
        """Return whether a store is gone on with, and check that it may be written to."""
        if not path.exists():
            if cycles:
                raise FileNotFoundError(
                    f"path={str(path)!r} of a sink is gone: it held {cycles} cycles"
                )
            return False
        if path.is_dir() and not any(path.iterdir()):
            return False
        try:
            group = _library().open_group(str(path), mode="r", use_consolidated=False)
            if group.attrs.get("source") != SOURCE:
                raise KeyError("source")
            held = group["time"].shape[0] if cycles else 0
        except Exception as error:  # whatever else it may be
            raise self._sink.refuse("is no store that a sink has written") from error
        if held < cycles:
            raise ValueError(
                f"path={str(path)!r} of a sink holds {held} cycles, the checkpoint {cycles}: "
                f"expected the store that was written beside it"
            )
        return bool(cycles)

    def _make(self) -> None:
        """Make the arrays, of no cycles."""
        sink, members = self._sink, self._members
        self._group.attrs.update({"Conventions": "CF-1.11", "source": SOURCE})
        for name, (dims, values, attrs) in sink.coordinates(members).items():
            made = self._array(name, values.shape, values.shape, values.dtype, dims, attrs)
            made[...] = values
        for name in sink.variables:
            sizes = sink.dims(name, self._dim)
            shape = tuple(sizes.values())
            self._array(
                name,
                (0, members, *shape),
                (1, 1, *shape),
                self._dtype,
                ("time", sink.member, *sizes),
                sink.attributes_of(name),
            )

    def _array(
        self,
        name: str,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        dtype: Any,
        dims: tuple[str, ...],
        attrs: Mapping[str, Any],
    ) -> Any:
        return self._group.create_array(
            name,
            shape=shape,
            chunks=chunks or "auto",
            dtype=dtype,
            dimension_names=dims,
            attributes={key: _plain(value) for key, value in attrs.items()},
            fill_value=np.nan if np.dtype(dtype).kind == "f" else 0,
        )

    def append(self, time: Any, ensemble: Array, scores: Mapping[str, float]) -> None:
        group, at = self._group, self._cycles
        arrays = {name: group[name] for name in self._sink.variables}
        for array in arrays.values():
            array.resize((at + 1, *array.shape[1:]))
        for j, state in enumerate(ensemble):
            for name, values in self._sink.parts(state):
                arrays[name][at, j] = values
        for name, value in scores.items():
            self._number(f"score_{name}", at, value, np.float64, {})
        number, attrs = self._sink.encoded(time)
        kind = np.int64 if isinstance(number, int) else np.float64
        self._number("time", at, number, kind, {"standard_name": "time"} | attrs)
        self._cycles += 1
        self._publish()

    def _publish(self) -> None:
        """Tell readers how long arrays are, in one file: they see whole cycles, while one grows."""
        with warnings.catch_warnings():  # it is what xarray looks for, and in no standard yet
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            _library().consolidate_metadata(self._path)

    def _number(
        self, name: str, at: int, value: float, dtype: Any, attrs: Mapping[str, Any]
    ) -> None:
        """Write one number of a cycle."""
        if name not in self._group:
            self._array(name, (at,), (_CYCLES,), dtype, ("time",), attrs)
        array = self._group[name]
        array.resize((at + 1,))
        array[at] = value


def _plain(value: Any) -> Any:
    """Return an attribute as JSON takes it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return value


def _library() -> Any:
    try:
        import zarr
    except ImportError:
        raise ImportError("sinks.Zarr needs zarr: pip install 'enfilt[io]'") from None
    return zarr
