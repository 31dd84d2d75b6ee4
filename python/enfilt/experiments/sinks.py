"""Where the ensembles of a run go, cycle by cycle: files that the field reads.

`Zarr` and `NetCDF` write them with the names of the CF conventions, member by member, so that no
second copy is made. A function ``(time, ensemble)`` does, too, in place of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .sink import Sink, Writer

__all__ = ["NetCDF", "Sink", "Zarr"]


@dataclass(frozen=True, eq=False)
class Zarr(Sink):
    """A Zarr store, a chunk of it one variable of one member at one time.

    It is read while it grows, ``xarray.open_zarr(path)``, and survives kill -9: a run that goes on
    from a checkpoint goes on with the store, too. Needs ``pip install 'enfilt[io]'``.

    Parameters
    ----------
    path, layout, attributes, time_units
        As of `Sink`; `path` is a folder.

    Examples
    --------
    >>> import enfilt as ef
    >>> sink = ef.sinks.Zarr("analysis.zarr", attributes={"state": {"units": "m3 s-1"}})
    >>> ef.Assimilation(lambda x, *_: x, [], analysis_to=sink).analysis_to == sink
    True
    """

    def open(self, shape: tuple[int, int], dtype: np.dtype[Any], cycles: int) -> Writer:
        from . import zarr_sink  # an extra

        self.check(shape[1])
        return zarr_sink.ZarrWriter(self, shape, dtype, cycles)


@dataclass(frozen=True, eq=False)
class NetCDF(Sink):
    """A netCDF file, with time as the dimension that grows.

    It is opened and closed each cycle, and can be read in between. A process that is killed while
    it writes may leave a file that can't be read: then the run does not go on with it, and says so.
    Needs ``pip install 'enfilt[io]'``.

    Parameters
    ----------
    path, layout, attributes, time_units
        As of `Sink`.

    Examples
    --------
    >>> import enfilt as ef
    >>> ef.sinks.NetCDF("analysis.nc").variables
    ['state']
    """

    def open(self, shape: tuple[int, int], dtype: np.dtype[Any], cycles: int) -> Writer:
        from . import netcdf_sink  # an extra

        self.check(shape[1])
        return netcdf_sink.NetCDFWriter(self, shape, dtype, cycles)
