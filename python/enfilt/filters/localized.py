"""What filters have in common that are localized whatever their options."""

from __future__ import annotations

from dataclasses import dataclass

from ..backends import LocalWindow
from ..localization import GaspariCohn
from . import neighbours
from .base import Cycle


@dataclass(frozen=True)
class Localized:
    """The option that has no default; as the last base of a filter, its field comes first."""

    localization: GaspariCohn

    def _check_localization(self) -> None:
        if not isinstance(self.localization, GaspariCohn):
            raise TypeError(
                f"localization={self.localization!r}: expected an "
                f"enfilt.localization.GaspariCohn(cutoff=...)"
            )

    def _window(self, cycle: Cycle, has_kernel: bool) -> LocalWindow | None:
        """Return the window that a kernel analyses all components in, or None: they need lists.

        Raises
        ------
        TypeError
            If there is none and the arrays are CuPy's, on which there are no lists.
        """
        window = None
        if has_kernel and cycle.observed is not None:
            window = neighbours.common_window(cycle.obs, cycle.forecast.shape[-1], self.localization)
        if window is None and cycle.backend.on_device:
            raise TypeError(
                f"forecast is a CuPy array, on which the {type(self).__name__} runs where "
                f"observations stand at components of a RegularGrid of one variable, without "
                f"locations=: expected these, or NumPy arrays, such as cupy.asnumpy(forecast)"
            )
        return window
