"""Files of results: arrays under flat names, and beside them what is text and numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._files import replacing
from .innovations import Innovations

Array = npt.NDArray[Any]


def flat(facts: Mapping[str, Array], innovations: Innovations | None) -> dict[str, Array]:
    """Return under flat names what every result has."""
    found = {f"fact_{name}": values for name, values in facts.items()}
    return found if innovations is None else found | innovations.arrays()


def save(
    path: str | os.PathLike[str],
    arrays: Callable[[], Mapping[str, Any]],
    info: Mapping[str, Any],
    stopped: str,
    innovations: Innovations | None,
    to_xarray: Callable[[], Any],
) -> Path:
    """Write a result to a file, as its ending says; it appears whole or not at all.

    Raises
    ------
    ValueError
        If the ending is another than ``.npz`` and ``.nc``.
    """
    target = Path(path)
    if target.suffix not in (".npz", ".nc"):
        raise ValueError(f"path={str(path)!r}: expected a name that ends in .npz or .nc")
    with replacing(target) as temporary:
        if target.suffix == ".nc":
            to_xarray().to_netcdf(temporary, engine="h5netcdf")
        else:
            told = {**info, "stopped": stopped}
            if innovations is not None:
                told["innovations"] = innovations.labels()
            with temporary.open("wb") as file:
                text = np.array(json.dumps(told, default=str))
                np.savez_compressed(file, info=text, **arrays())
    return target


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `save` wrote as ``*.npz``.

    Returns
    -------
    arrays : dict of ndarray
        By their flat names, but what `flat` gave.
    fields : dict
        That, with info and stopped, by the names of a result's fields.
    """
    with np.load(path, allow_pickle=False) as file:
        info = json.loads(str(file["info"]))
        arrays = {name: file[name] for name in file.files if name != "info"}
    told = [name for name in arrays if name.startswith("fact_")]
    facts = {name.removeprefix("fact_"): arrays.pop(name) for name in told}
    fields = {"facts": facts, "stopped": info.pop("stopped")}
    labels = info.pop("innovations", None)
    if labels is not None:
        fields["innovations"] = Innovations.of_arrays(arrays, labels)
    return arrays, fields | {"info": info}
