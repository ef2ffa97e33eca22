"""Names of the 44 numbers that describe a hand at one instant, schema `hand44-1`, in order."""

from typing import Final

FINGERS: Final = ("index", "middle", "ring", "little")

FEATURE_NAMES: Final[tuple[str, ...]] = (
    *(f"bend_thumb_{joint}" for joint in ("cmc", "mcp", "ip")),
    *(f"bend_{finger}_{joint}" for finger in FINGERS for joint in ("mcp", "pip", "dip")),
    *(
        f"{name}_{finger}"
        for name in ("mcp_flex", "mcp_abd", "pip_flex", "dip_flex", "opp")
        for finger in FINGERS
    ),
    "aperture",
    "spread",
    "roll",
    "wave",
    *(f"tam_{finger}" for finger in FINGERS),
    "curl",
)
"""Angles in degrees, except `opp_*`, distances in palm lengths."""

FEATURE_INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(FEATURE_NAMES)}


def is_distance(name: str) -> bool:
    """Tell whether a feature counts palm lengths rather than degrees."""
    return name.startswith("opp_")
