"""What filters have in common that are localized whatever their options."""

from __future__ import annotations

from dataclasses import dataclass

from ..localization import GaspariCohn


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
