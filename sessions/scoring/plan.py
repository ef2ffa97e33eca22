"""What the scoring of one set is told before its first frame: the motion, the hand, the anchors."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["left", "right"]
Space = Literal["world", "image"]
Kind = Literal["reps", "tap", "hold", "sequence"]
Form = Literal["linear", "opposition", "count", "pose"]
"""How the primary signal is made: a weighted sum of features; the smallest of the four `opp`;
the number of fingers whose `tam` is below 90; the similarity to a posture."""

FEATURES = 44
"""Length of the feature vector, schema `hand44-1`."""
SCHEMA = "hand44-1"
GUIDE_PHASES = 128
"""Samples of one guide cycle."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A motion compiled to arrays; made once from the catalogue by `sessions.motions`.

    Lengths of arrays: F = `FEATURES`, P = `GUIDE_PHASES`.
    """

    id: str
    version: int
    kind: Kind
    sha256: str
    """Hash of the canonical JSON of the definition: names the exact parameters in results."""
    primary: NDArray[np.float32]
    """(F,) weights of the primary signal x = primary . F; `roll` enters unwrapped."""
    guide: NDArray[np.float32]
    """(P, F) features along one guide cycle."""
    guide_weights: NDArray[np.float32]
    """(F,) weights of the live similarity, sum 1, zero where a feature is not compared."""
    shape_features: NDArray[np.intp]
    """(n,) the features that the DTW shape compares."""
    shape_scale: NDArray[np.float32]
    """(n,) degrees per unit of those features: 1 for angles, 40 for distances in palm lengths."""
    guide_peaks: tuple[float, ...]
    """Phases 0..1 at which the guide's primary signal peaks."""
    period_us: int
    """Default length of one guide cycle, microseconds."""
    f_min: float = 2.0
    """One Euro: lowest cut-off, Hz."""
    beta: float = 2.0
    """One Euro: rise of the cut-off with speed, Hz per (palm length per second)."""
    f_d: float = 1.0
    """One Euro: cut-off of the speed, Hz."""
    delta: float = 0.25
    """Reversal threshold of the repetition detector, in z."""
    full_at: float = 0.9
    """A repetition whose peak z reaches this is full."""
    t_min: float = 0.2
    """Shortest repetition, seconds."""
    t_max: float = 10.0
    """Longest duration of a repetition, seconds."""
    form: Form = "linear"
    pose: NDArray[np.float32] | None = None
    """(F,) features of the posture that form `pose` compares with."""
    pose_weights: NDArray[np.float32] | None = None
    """(F,) their weights, sum 1."""
    hold_in: float = 0.9
    """A hold begins when z reaches this."""
    hold_out: float = 0.8
    """A hold ends when z falls below this."""
    tremor_tips: tuple[int, ...] = ()
    """Landmarks of the finger tips whose tremor a hold measures."""
    contact: float = 0.25
    """Opposition: the thumb touches a finger below this distance, palm lengths."""
    release: float = 0.40
    """Opposition: and has let go of it above this."""
    order: tuple[int, ...] = ()
    """Sequence: the steps in order; fingers 0 index .. 3 little, or numbers of fingers out."""
    guided: bool = field(init=False)
    """Whether the live similarity compares anything with the guide."""

    def __post_init__(self) -> None:
        """Look at the weights once."""
        object.__setattr__(self, "guided", bool(self.guide_weights.any()))


@dataclass(frozen=True, slots=True, eq=False)
class SetPlan:
    """Everything that fixes the score of a set besides its frames."""

    motion: Motion
    side: Side
    space: Space
    fps: float
    """Nominal frame rate the client announced, 1/s."""
    guide_t0_us: int
    """Device time at which the guide starts, microseconds; time of the set counts from here."""
    guide_period_us: int
    rest: float
    """Anchor x_rest: the primary signal that is z = 0."""
    target: float
    """Anchor x_target: the primary signal that is z = 1."""
    palm_mm: float | None = None
    """Length of the palm by the child's age, mm: gives tremor of image landmarks a unit."""
