"""Who a simulated child is: everything that later shows in the content of its frames."""

from dataclasses import dataclass

import numpy as np

from sessions.kinematics import hand_length
from sessions.scoring.plan import Side

_RANGES: dict[str, tuple[float, float]] = {
    "age": (2.0, 80.0),
    "rom": (0.3, 1.0),
    "tempo": (0.5, 1.5),
    "latency_s": (0.0, 2.0),
    "latency_sd_s": (0.0, 0.5),
    "rep_jitter": (0.0, 0.3),
    "fatigue": (0.0, 10.0),
    "submovements": (1, 4),
    "tremor_hz": (1.0, 15.0),
    "tremor_deg": (0.0, 20.0),
    "synergy": (0.0, 0.5),
    "order_error": (0.0, 1.0),
    "landmark_noise_mm": (0.0, 5.0),
    "dropout_rate": (0.0, 5.0),
    "dropout_s": (0.02, 30.0),
    "jump_rate": (0.0, 0.5),
    "mirror_error": (0.0, 1.0),
    "fps": (5.0, 120.0),
}


@dataclass(frozen=True, slots=True)
class ChildParameters:
    """How a child moves, and what its camera makes of it.

    Raises ValueError for a value outside its range.
    """

    age: float = 8.0
    """Years; the length of the hand follows from it."""
    side: Side = "right"
    rom: float = 0.9
    """Share of the guide's excursion the child reaches, 0.3 to 1."""
    tempo: float = 1.0
    """Speed of its movements against the guide's, 0.5 to 1.5."""
    latency_s: float = 0.25
    """Mean time from the guide's start to the child's, seconds."""
    latency_sd_s: float = 0.08
    rep_jitter: float = 0.06
    """Coefficient of variation of amplitude and duration from repetition to repetition."""
    fatigue: float = 0.0
    """Loss of amplitude, % of the first repetition's per repetition."""
    submovements: int = 1
    """Pushes in which each half of a cycle is made, 1 to 4."""
    tremor_hz: float = 6.0
    tremor_deg: float = 0.0
    """Amplitude of the tremor at the MCP joints; 0.7 of it at the PIP joints."""
    synergy: float = 0.1
    """How much a finger is pulled towards its neighbours' flexion, 0 to 0.5."""
    order_error: float = 0.0
    """Share of sequences in which two neighbouring steps change places."""
    landmark_noise_mm: float = 0.5
    """Standard deviation of each landmark across the picture; three times that in depth."""
    dropout_rate: float = 0.0
    """Runs without a hand that begin per second."""
    dropout_s: float = 0.2
    """Mean length of such a run, seconds."""
    jump_rate: float = 0.0
    """Share of frames in which the tracker grabs something of quite another size."""
    mirror_error: float = 0.0
    """Share of frames whose landmarks are mirrored without saying so."""
    fps: float = 30.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie within {low:g} and {high:g}")
        if self.submovements != int(self.submovements):
            raise ValueError("submovements must be whole")

    @property
    def hand_length_m(self) -> float:
        """Length of the hand, metres."""
        return hand_length(self.age)


def sample_child(
    rng: np.random.Generator, *, noise_mm: float | None = None, fps: float = 30.0
) -> ChildParameters:
    """Return a plausible child of a therapy group: most move well enough, some barely.

    `noise_mm` fixes the tracker's noise, which otherwise varies from device to device.
    Nothing is dropped or mirrored: those are faults to be asked for by name.
    """
    tremulous = rng.random() < 0.15
    noise = rng.uniform(0.4, 1.0)
    return ChildParameters(
        age=float(np.round(rng.uniform(4.0, 14.0), 1)),
        side="left" if rng.random() < 0.5 else "right",
        rom=float(np.clip(rng.normal(0.85, 0.15), 0.4, 1.0)),
        tempo=float(np.clip(rng.normal(1.0, 0.15), 0.6, 1.4)),
        latency_s=float(rng.uniform(0.15, 0.4)),
        latency_sd_s=float(rng.uniform(0.04, 0.1)),
        rep_jitter=float(rng.uniform(0.04, 0.12)),
        fatigue=float(rng.choice([0.0, 0.0, 0.5, 1.5])),
        submovements=int(rng.choice([1, 1, 1, 2, 3])),
        tremor_hz=float(rng.uniform(4.0, 8.0)),
        tremor_deg=float(rng.uniform(1.0, 3.0)) if tremulous else 0.0,
        synergy=float(rng.uniform(0.0, 0.25)),
        landmark_noise_mm=float(noise if noise_mm is None else noise_mm),
        fps=fps,
    )
