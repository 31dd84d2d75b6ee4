"""The progress bar of everything that takes longer than two seconds."""

from __future__ import annotations

from typing import Any

#: Seconds before a bar appears.
DELAY = 2.0


def bar(total: int | None, label: str, show: bool | None, done: int = 0) -> Any:
    """Return a bar of `total` units that appears after two seconds.

    Parameters
    ----------
    total : int, optional
        Units; None: nobody knows.
    label : str
        What is going on.
    show : bool or None
        None: only where standard error is a terminal.
    done : int
        Units that were done before, and say nothing of the time that is left.
    """
    from tqdm.auto import tqdm  # slow to import, and of use to whole runs alone

    return tqdm(
        total=total,
        initial=done,
        desc=label,
        delay=DELAY,
        disable=None if show is None else not show,
        leave=False,
        dynamic_ncols=True,
    )
