"""What a closed repetition is stored as, how it is judged, and which guide peak it answers."""

from typing import Any, Final

from sessions.scoring.detector import Cycle, Reversal
from sessions.scoring.plan import SetPlan

_COVER_MIN: Final = 0.8

MEASURED: Final = (
    *("t_on", "t_off", "duration", "dwell", "peak_speed", "mean_speed", "sparc", "ldlj"),
    *("shape", "finger_rom"),
)
"""What `measure` finds; all None for a repetition of which too little is known."""


def judged(plan: SetPlan, cycle: Cycle, measured: dict[str, Any]) -> tuple[str, str | None]:
    """Class of a closed repetition, and why where it is rejected."""
    motion = plan.motion
    whole = (cycle.end.us - cycle.start.us) / 1e6
    if whole < motion.t_min:
        return "rejected", "too_short"
    if measured["duration"] is None or measured["duration"] > motion.t_max:
        return "rejected", "too_long"
    if cycle.end.n - cycle.start.n < _COVER_MIN * whole * plan.fps:
        return "rejected", "missing_frames"
    return ("full" if cycle.peak.z >= motion.full_at else "partial"), None


def entry(rep_no: int, cls: str, reason: str | None, peak: Reversal) -> dict[str, Any]:
    """A repetition as it is stored, its measures still to be filled in."""
    out: dict[str, Any] = {"rep_no": rep_no, "class": cls}
    if reason is not None:
        out["reason"] = reason
    out["t_us"] = peak.us
    out["amplitude"] = None
    out["completeness"] = 100.0 * min(max(peak.z, 0.0), 1.25)
    out |= dict.fromkeys(MEASURED)
    out["timing_error"] = None
    return out


def matched_peak(
    since_us: int, period_us: int, phases: tuple[float, ...], after: int
) -> tuple[int, float] | None:
    """The guide peak that a peak of the hand answers: the nearest not used yet.

    Args:
        since_us: time of the hand's peak since the guide's start.
        period_us: one guide cycle.
        phases: of the peaks in a cycle, 0..1, rising.
        after: lowest number of a guide peak that is still free.

    Returns:
        Its number and the hand's delay in seconds; None if none is free within half a cycle.
    """
    best: tuple[int, float] | None = None
    cycle = since_us // period_us
    for number in range(max((cycle - 1) * len(phases), after, 0), (cycle + 2) * len(phases)):
        turn, place = divmod(number, len(phases))
        late = (since_us - turn * period_us) - phases[place] * period_us
        if abs(late) <= 0.5 * period_us and (best is None or abs(late) < abs(best[1]) * 1e6):
            best = number, late / 1e6
    return best
