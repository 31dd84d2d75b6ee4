"""Local analyses by a plain loop: the oracle."""

from __future__ import annotations

import numpy as np

from ..problems import Array, LocalLists, LocalObservations, Matrix


def analyse_lists(
    x: Array,
    lists: LocalLists,
    observations: LocalObservations,
    rotation: Matrix | None,
    out: Array,
) -> None:
    """Write the analysis of the components of `lists` to `out`, by one `eigh` a place.

    Hunt, Kostelich, Szunyogh (2007), eq. 20 to 24, with R^-1 times rho.
    """
    members, places = len(x), len(lists.starts) - 1
    owners = np.arange(places + 1) if lists.owners is None else lists.owners
    columns = np.arange(x.shape[1])[lists.columns]
    for i, (begin, end) in enumerate(zip(lists.starts[:-1], lists.starts[1:], strict=True)):
        here = columns[owners[i] : owners[i + 1]]
        if begin == end and rotation is None:
            out[:, here] = x[:, here]
            continue
        seen = lists.indices[begin:end]
        precision = lists.weights[begin:end] * observations.precision[seen].astype(np.float64)
        anomalies = observations.anomalies[seen].astype(np.float64)
        weighted = anomalies.T * precision
        values, vectors = np.linalg.eigh((members - 1) * np.eye(members) + weighted @ anomalies)
        pull = weighted @ observations.innovation[seen].astype(np.float64)
        shift = vectors @ ((vectors.T @ pull) / values)
        transform = np.sqrt(members - 1) * (vectors / np.sqrt(values)) @ vectors.T
        if rotation is not None:
            transform = rotation @ transform
        states = x[:, here].astype(np.float64)
        mean = states.mean(axis=0)
        out[:, here] = mean + (shift + transform) @ (states - mean)
