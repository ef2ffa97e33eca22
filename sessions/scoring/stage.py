"""Frame stage: one tick of all hands, from landmarks to features, signals and accumulators.

Everything here is elementwise along the hand axis, so a hand's numbers depend on its own records
alone: not on its neighbours, nor on how its records were cut into messages and ticks.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.features import CURL, ROLL, hand_features, turn_seen
from sessions.scoring.filter import one_euro, restart
from sessions.scoring.intake import Columns
from sessions.scoring.layout import ANGLE_BINS, ANGLE_MIN, JOINTS, put_rows
from sessions.scoring.library import Library
from sessions.scoring.palm import COORDINATES, Palm, Reals, in_palm, landmarks, norm, palm_of
from sessions.scoring.plan import GUIDE_PHASES
from sessions.scoring.state import HOLD, State
from sessions.scoring.verdicts import (
    ACCEPTED,
    ACCEPTED_GAP,
    DUPLICATE,
    JUMP,
    OUT_OF_ORDER,
    Verdict,
    judge_after,
    judge_alone,
    unremarkable,
)

FROZEN_RUN = 15
"""So many frames with the same landmarks to the bit are no measurement."""
CURLED = 60.0
"""Degrees of mean curl beyond which the finger tips tell the palm from the back of the hand."""
# As arrays: see `verdicts`.
_ONE = np.array(1.0, np.float32)
_SECOND_US = np.array(1e6)
_PHASES = np.array(GUIDE_PHASES)
_CURLED = np.array(CURLED, np.float32)
_ZERO = np.array(0.0, np.float32)
_ANGLE_MIN = np.array(ANGLE_MIN, np.float32)
_LAST_BIN = np.array(ANGLE_BINS - 1, np.float32)
_JOINT_ROWS = np.array([row for _, row in JOINTS])
_JOINT_BINS = np.arange(len(JOINTS))[:, None] * ANGLE_BINS
_PRINT = np.random.default_rng(20).uniform(1.0, 2.0, 60).astype(np.float32)


@dataclass(slots=True, eq=False)
class Tick:
    """The records of one tick, round by round; M is their number N padded to the vector width."""

    columns: Columns
    bounds: list[int]
    """Round k is the records bounds[k] to bounds[k + 1]."""
    terms: NDArray[np.void]
    """(N,) `State.terms` of each record's hand."""
    mixed: bool
    """Some hand's motion is a hold or a sequence."""
    code: Verdict
    """(N,) verdict of each record."""
    palm: Palm
    raw: Reals
    """(64, M) coordinates as `in_palm` gives them."""
    smooth: Reals
    """(64, M) the same filtered; zeros where the record was dropped."""
    fingerprint: Reals
    """(M,) equal for equal landmarks; different ones do not share it for many frames in a row."""
    rounds: list[NDArray[np.intp]] = field(default_factory=list)
    """The accepted records of each round, once they are known."""
    gaps: bool = False
    """Some of them follow a gap."""


@dataclass(slots=True, eq=False)
class Signals:
    """What a tick's accepted records show; z is (N,), the others (…, M) unless noted."""

    features: Reals
    x: Reals
    z: Reals
    sim: Reals
    known: NDArray[np.bool_] | None
    """(N,) whether x could be told; None where all could."""
    curled: NDArray[np.bool_]
    palmar: NDArray[np.bool_]
    """The finger tips of a curled hand lie on the side of the palm."""
    bones: Reals
    """(12, M) lengths of the finger bones, palm lengths."""
    bins: Reals
    """(joints, M) the joints' angles as bins of a histogram, the fractions not cut off."""
    kept: Reals
    """(44 or more, M) the features; where a hold is among the hands then the unfiltered finger
    tips, thumb first, x y z: metres in the palm frame, palm lengths of image landmarks."""


def examine(state: State, columns: Columns, bounds: list[int]) -> Tick:
    """Judge every record by itself and find its palm."""
    n = len(columns)
    terms = state.terms.take(columns.slot)
    image = terms["image"]
    shape = columns.geometry(image)
    palm = palm_of(shape.a)
    code = judge_alone(
        shape.wrong,
        palm.scale[:n],
        palm.degenerate[:n],
        columns.score,
        image,
    )
    raw = in_palm(shape.a, palm)
    fingerprint: Reals = np.einsum("i,ij->j", _PRINT, shape.a.reshape(60, -1))
    smooth = np.empty_like(raw)
    smooth[:, n:] = 0.0
    mixed = bool(np.count_nonzero(terms["kind"]))
    return Tick(columns, bounds, terms, mixed, code, palm, raw, smooth, fingerprint)


def admit(state: State, tick: Tick) -> None:
    """Judge the records by what came before and filter the accepted ones, round by round."""
    for a, b in pairwise(tick.bounds):
        tick.rounds.append(_admit_round(state, tick, a, b))


def _admit_round(state: State, tick: Tick, a: int, b: int) -> NDArray[np.intp]:
    """Do so with records a to b, one of each hand; returns the accepted ones."""
    columns, at = tick.columns, np.arange(a, b)
    where: NDArray[np.intp] | slice = slice(a, b)
    slot, t_us, scale = columns.slot[where], columns.t_us[where], tick.palm.scale[where]
    past = state.past.take(slot)
    begun, code = past["begun"], tick.code[where]
    since = t_us - past["last_us"]
    same = columns.counter[where] == past["counter"]
    growth = scale / past["scale"]
    growth -= _ONE
    fresh: NDArray[np.bool_] | None = None
    if unremarkable(code, since, same, growth, begun):
        state.counts[ACCEPTED][slot] += 1
    else:
        code[...] = judge_after(code, since, same, growth, past["jumps"], begun)
        state.counts[code, slot] += 1
        kept = np.flatnonzero(_count(past, code, columns.counter[where]))
        if kept.size < b - a:
            put_rows(state.past, slot, past)
            tick.smooth[:, where] = 0.0
            where = at = at[kept]
            if not at.size:
                return at
            slot, t_us, scale, since = slot[kept], t_us[kept], scale[kept], since[kept]
            past, code, begun = past.take(kept), code[kept], begun[kept]
        late = code == ACCEPTED_GAP
        tick.gaps |= bool(np.count_nonzero(late))
        fresh = late | ~begun
        past["first_us"] = np.where(begun, past["first_us"], t_us)
        since *= begun
    pause = since > tick.terms["pause_us"][where]
    if np.count_nonzero(pause):
        past["gap_us"] += since * pause
    _note_frozen(past, tick.fingerprint[where])
    past["last_us"] = t_us
    past["counter"] = columns.counter[where]
    past["scale"] = scale
    past["jumps"] = 0
    past["begun"] = True
    put_rows(state.past, slot, past)
    _smooth(state, tick, where, slot, since, fresh)
    return at


def _count(past: NDArray[np.void], code: Verdict, counter: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Note in the rows of their hands what is dropped; (N,) whether the record is kept."""
    late = (code == OUT_OF_ORDER) | (code == DUPLICATE)
    past["untimed"] += late & (counter > past["counter"])
    past["jumps"] += code == JUMP
    return np.asarray(code >= ACCEPTED_GAP)


def _note_frozen(past: NDArray[np.void], fingerprint: Reals) -> None:
    """Count accepted frames in runs of `FROZEN_RUN` or more with identical landmarks."""
    same = past["fingerprint"] == fingerprint
    if not np.count_nonzero(same):
        past["run"] = 1
        past["fingerprint"] = fingerprint
        return
    run = past["run"] * same
    run += 1
    past["run"] = run
    past["frozen"] += np.where(run > FROZEN_RUN, 1, np.where(run == FROZEN_RUN, run, 0))
    past["fingerprint"] = fingerprint


def _smooth(
    state: State,
    tick: Tick,
    where: NDArray[np.intp] | slice,
    slot: NDArray[np.intp],
    since: NDArray[np.int64],
    fresh: NDArray[np.bool_] | None,
) -> None:
    """Filter the records `where`, which are of the hands in `slot`."""
    # A hand's row at a time: rows are fetched and stored whole, the batch is turned to match.
    q = tick.raw[:, where].T.copy()
    last, speed = state.filtered.take(slot, axis=0), state.speeds.take(slot, axis=0)
    h = (since / _SECOND_US).astype(np.float32)
    if fresh is not None:
        h[fresh] = 1.0
        restart(q, last, speed, fresh)
    tuning = tick.terms["tuning"][where]
    one_euro(q, last, speed, h[:, None], tuning[:, :1], tuning[:, 1:2], tuning[:, 2:3])
    put_rows(state.filtered, slot, last)
    put_rows(state.speeds, slot, speed)
    # Rows of a power of two in bytes share few lines of the cache when they are read across.
    apart = np.empty((len(q), COORDINATES + 4), np.float32)[:, :COORDINATES]
    apart[...] = last
    tick.smooth[:, where] = apart.T


def signals(state: State, library: Library, tick: Tick) -> Signals:
    """Features, primary signal and similarity of the accepted records."""
    columns = tick.columns
    n, m = len(columns), tick.raw.shape[-1]
    features = hand_features(tick.smooth)
    known: NDArray[np.bool_] | None = None
    terms = tick.terms
    uses_roll = terms["uses_roll"]
    if np.count_nonzero(uses_roll):
        known = np.ones(n, np.bool_)
        seen = turn_seen(tick.palm)
        for at in tick.rounds:
            _unwrap(state, tick, at, features[ROLL], seen, known)
        known |= ~uses_roll
        if np.count_nonzero(known) == n:
            known = None
    period = terms["guide_period"]
    phase = np.zeros(m, np.int64)
    phase[:n] = (columns.t_us - terms["guide_t0"]) % period * _PHASES // period
    motion = np.zeros(m, np.intp)
    motion[:n] = terms["motion"]
    x, sim = library.compare(features, motion, phase)
    rest, span = terms["anchors"].T
    z = (x[:n] - rest) / span
    # A hand of the wrong side bends backwards, so its curl is negative: the size is meant.
    curled = np.abs(features[CURL]) > _CURLED
    palmar = np.add.reduce(landmarks(tick.smooth)[2, 1:, 3], axis=0) > _ZERO
    palmar &= curled
    q = landmarks(tick.raw)
    bones = norm(q[:, 1:, 1:] - q[:, 1:, :-1]).reshape(12, m)
    angles = features.take(_JOINT_ROWS, axis=0)
    angles -= _ANGLE_MIN
    angles.clip(_ZERO, _LAST_BIN, out=angles)
    kept = features
    if tick.mixed and np.count_nonzero(terms["kind"] == HOLD):
        unit = np.ones(m, np.float32)
        unit[:n] = np.where(terms["image"], 1.0, tick.palm.scale[:n])
        tips = (q[:, :, 3] * unit).swapaxes(0, 1).reshape(15, m)
        kept = np.concatenate((features, tips))
    return Signals(features, x, z, sim, known, curled, palmar, bones, angles, kept)


def _unwrap(
    state: State,
    tick: Tick,
    at: NDArray[np.intp],
    roll: Reals,
    seen: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> None:
    """Make the roll of the records `at` continuous; what cannot be seen holds the last value."""
    slot = tick.columns.slot[at]
    before, had = state.roll[slot], state.roll_known[slot] & (tick.code[at] != ACCEPTED_GAP)
    now = np.where(seen[at], roll[at], before)
    turns = np.where(had, state.turns[slot] - np.rint((now - before) / 360.0), 0.0)
    has = had | seen[at]
    state.roll[slot] = now
    state.turns[slot] = turns
    state.roll_known[slot] = has
    roll[at] = np.where(has, now + 360.0 * turns, 0.0)
    known[at] = has


def accumulate(state: State, tick: Tick, seen: Signals, at: NDArray[np.intp]) -> None:
    """Add the records `at`, one of each slot, to the sums of their sets."""
    n = len(at)
    # Most ticks are one round of which all is accepted: then a view saves every copy.
    where: NDArray[np.intp] | slice = slice(0, n) if n == len(tick.columns) else at
    slot = tick.columns.slot[where]
    totals = state.totals.take(slot)
    tally = totals["tally"]
    tally[:, 0] += tick.columns.score[where]
    tally[:, 1] += seen.curled[where]
    tally[:, 2] += seen.palmar[where]
    x, sim = seen.x[where], seen.sim[where]
    sums = np.empty((26, n))
    bones = sums[:12]
    bones[...] = seen.bones[:, where]
    np.multiply(bones, bones, out=sums[12:24])
    sums[24], sums[25] = x, sim
    low = high = x
    if seen.known is not None:
        told = seen.known[where]
        sums[24:, ~told] = 0.0
        low, high = np.where(told, x, np.inf), np.where(told, x, -np.inf)
    held = totals["sums"].T
    held += sums
    np.minimum(totals["x_min"], low, out=totals["x_min"])
    np.maximum(totals["x_max"], high, out=totals["x_max"])
    put_rows(state.totals, slot, totals)
    here = seen.bins[:, where].astype(np.intp)
    here += _JOINT_BINS
    here += slot * (len(JOINTS) * ANGLE_BINS)
    np.add.at(state.hist.reshape(-1), here.ravel(), np.uint32(1))
