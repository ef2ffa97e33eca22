"""What is kept of a finished set: its measures, in plain JSON types."""

from typing import Any

from sessions.scoring import sets
from sessions.scoring.plan import SCHEMA
from sessions.scoring.rounds import AnyBook
from sessions.scoring.state import State
from sessions.scoring.verdicts import ACCEPTED, ACCEPTED_GAP, VERDICTS


def set_result(state: State, slot: int, book: AnyBook, *, unfinished: bool) -> dict[str, Any]:
    """Measures of the set in a slot; None where one is not known, never NaN."""
    counts: dict[str, int] = dict(zip(VERDICTS, state.counts[:, slot].tolist(), strict=True))
    accepted = counts[VERDICTS[ACCEPTED]] + counts[VERDICTS[ACCEPTED_GAP]]
    frozen = int(state.frozen[slot])
    duration = int(state.last_seen[slot]) - int(state.first_seen[slot])
    score_sum, curled, palmar = state.tally[slot].tolist()
    x_sum, sim_sum = state.sums[slot, 24:].tolist()
    quality = sets.quality(
        sets.Tracking(
            accepted=accepted,
            frozen=frozen,
            untimed=int(state.untimed[slot]),
            fps=book.plan.fps,
            duration=duration / 1e6,
            in_gaps=_in_gaps(state, slot, duration) / 1e6,
            score_sum=score_sum,
            curled=curled,
            palmar=palmar,
            bone_sum=state.sums[slot, :12],
            bone_sq=state.sums[slot, 12:24],
        )
    )
    frames = int(state.frames[slot])
    signal = frames > 0
    guided = signal and bool(book.plan.motion.guide_weights.any())
    flags = []
    if sets.inverted(curled, palmar):
        flags.append("chirality_inverted")
    if unfinished:
        flags.append("unfinished")
    own = book.metrics()
    if book.plan.space == "image" and own.get("tremor_rms") is not None:
        flags.append("tremor_estimated")
    return {
        "schema": SCHEMA,
        "verdicts": {**counts, "frozen": frozen},
        "quality": quality,
        "reps": book.reps,
        "metrics": {
            **sets.metrics(book.reps),
            **own,
            "sim_mean": sim_sum / frames if guided else None,
            "x_mean": x_sum / frames if signal else None,
            "x_min": float(state.x_min[slot]) if signal else None,
            "x_max": float(state.x_max[slot]) if signal else None,
        },
        "rom": sets.rom(state.hist[slot], accepted),
        "span": sets.span(book.spans),
        "duration": duration / 1e6,
        "flags": flags,
    }


def _in_gaps(state: State, slot: int, duration: int) -> int:
    """Microseconds without a frame, with the pauses before the first and after the last."""
    if not state.begun[slot]:
        return duration
    edges = (
        int(state.first_us[slot] - state.first_seen[slot]),
        int(state.last_seen[slot] - state.last_us[slot]),
    )
    pause = int(state.pause_us[slot])
    return int(state.gap_us[slot]) + sum(edge for edge in edges if edge > pause)
