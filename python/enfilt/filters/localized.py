"""What filters have in common that are localized whatever their options."""

from __future__ import annotations

from dataclasses import dataclass

from ..localization import FromEnsemble, GaspariCohn
from .cycle import Cycle


@dataclass(frozen=True)
class Localized:
    """The option that has no default; as the last base of a filter, its field comes first."""

    localization: GaspariCohn | FromEnsemble

    def _check_localization(self) -> None:
        if not isinstance(self.localization, GaspariCohn | FromEnsemble):
            raise TypeError(
                f"localization={self.localization!r}: expected an "
                f"enfilt.localization.GaspariCohn(cutoff=...) or FromEnsemble()"
            )

    def _taper(self, cycle: Cycle, b: int) -> GaspariCohn:
        """Return the taper of one ensemble of the batch: that given, or what was found for it."""
        if isinstance(self.localization, GaspariCohn):
            return self.localization
        return cycle.tapers[b]
