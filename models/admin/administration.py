"""All that admins do, in one bundle for the routes."""

from dataclasses import dataclass

from models.admin.forced import ForcedTokens


@dataclass(frozen=True, slots=True)
class Administration:
    """The parts."""

    forced: ForcedTokens
