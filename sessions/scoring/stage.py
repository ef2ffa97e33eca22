"""Frame stage: one tick of all hands, from landmarks to features, signals and accumulators.

Everything here is elementwise along the hand axis, so a hand's numbers depend on its own records
alone: not on its neighbours, nor on how its records were cut into messages and ticks.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.features import CURL, ROLL, hand_features, turn_seen
from sessions.scoring.filter import one_euro, restart
from sessions.scoring.intake import Columns
from sessions.scoring.library import Library
from sessions.scoring.palm import COORDINATES, Palm, Reals, in_palm, landmarks, norm, palm_of
from sessions.scoring.plan import GUIDE_PHASES
from sessions.scoring.state import ANGLE_BINS, ANGLE_MIN, HOLD, JOINTS, State
from sessions.scoring.verdicts import (
    ACCEPTED_GAP,
    DUPLICATE,
    OUT_OF_ORDER,
    Verdict,
    judge_after,
    judge_alone,
)

FROZEN_RUN = 15
"""So many frames with the same landmarks to the bit are no measurement."""
CURLED = 60.0
"""Degrees of mean curl beyond which the finger tips tell the palm from the back of the hand."""
_JOINT_ROWS = np.array([row for _, row in JOINTS])
_JOINT_BINS = np.arange(len(JOINTS))[:, None] * ANGLE_BINS
_PRINT = np.random.default_rng(20).uniform(1.0, 2.0, (3, 5, 4, 1)).astype(np.float32)


@dataclass(slots=True, eq=False)
class Tick:
    """The records of one tick, round by round; M is their number N padded to the vector width."""

    columns: Columns
    bounds: list[int]
    """Round k is the records bounds[k] to bounds[k + 1]."""
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


@dataclass(slots=True, eq=False)
class Signals:
    """What a tick's accepted records show; z is (N,), the others (…, M) unless noted."""

    features: Reals
    x: Reals
    z: Reals
    sim: Reals
    known: NDArray[np.bool_]
    """(N,) whether x could be told."""
    curled: NDArray[np.bool_]
    palmar: NDArray[np.bool_]
    """The finger tips of a curled hand lie on the side of the palm."""
    bones: Reals
    """(12, M) lengths of the finger bones, palm lengths."""
    bins: NDArray[np.int64]
    """(joints, M) where the joints' angles count in a slot's histogram."""
    kept: Reals
    """(44 or more, M) the features; where a hold is among the hands then the unfiltered finger
    tips, thumb first, x y z: metres in the palm frame, palm lengths of image landmarks."""


def examine(state: State, columns: Columns, bounds: list[int]) -> Tick:
    """Judge every record by itself and find its palm."""
    n = len(columns)
    image = state.image[columns.slot]
    shape = columns.geometry(image)
    palm = palm_of(shape.a)
    code = judge_alone(
        shape.absent,
        shape.nonfinite,
        shape.far,
        palm.scale[:n],
        palm.degenerate[:n],
        columns.score,
        image,
    )
    raw = in_palm(shape.a, palm)
    fingerprint: Reals = (shape.a * _PRINT).reshape(60, -1).sum(axis=0)
    return Tick(columns, bounds, code, palm, raw, np.zeros_like(raw), fingerprint)


def admit(state: State, tick: Tick) -> None:
    """Judge the records by what came before and filter the accepted ones, round by round."""
    columns = tick.columns
    for a, b in zip(tick.bounds, tick.bounds[1:], strict=False):
        slot, t_us = columns.slot[a:b], columns.t_us[a:b]
        begun = state.begun[slot]
        since = t_us - state.last_us[slot]
        scale = tick.palm.scale[a:b]
        before = np.where(begun, state.scale[slot], 1.0)
        jumps = state.jumps[slot]
        newer = columns.counter[a:b] - state.counter[slot]
        code = judge_after(
            tick.code[a:b],
            since,
            newer == 0,
            scale / before - 1.0,
            jumps,
            begun,
        )
        tick.code[a:b] = code
        state.counts[code, slot] += 1
        kept = code >= ACCEPTED_GAP
        if not kept.all():
            state.untimed[slot] += (newer > 0) & ((code == OUT_OF_ORDER) | (code == DUPLICATE))
        state.jumps[slot] = np.where(kept, 0, jumps + (code == ACCEPTED_GAP - 1))
        at = a + np.flatnonzero(kept)
        tick.rounds.append(at)
        if not at.size:
            continue
        where: NDArray[np.intp] | slice = slice(a, b)
        if at.size < b - a:
            where = at
            slot, t_us, since, begun = slot[kept], t_us[kept], since[kept], begun[kept]
            scale, code = scale[kept], code[kept]
        _note_gaps(state, slot, t_us, since, begun)
        _note_frozen(state, slot, tick.fingerprint[where], begun)
        state.last_us[slot] = t_us
        state.counter[slot] = columns.counter[where]
        state.scale[slot] = scale
        state.begun[slot] = True

        fresh = (code == ACCEPTED_GAP) | ~begun
        h = np.where(fresh, 1.0, since / 1e6).astype(np.float32)
        raw = tick.raw[..., where]
        # Fetching whole rows and turning them is quicker than gathering along the last axis.
        rows = state.filtered.take(slot, axis=0).reshape(len(slot), -1)
        past = rows.T.copy().reshape(2, COORDINATES, -1)
        if fresh.any():
            restart(raw, past[0], past[1], fresh)
        f_min, beta, f_d, _ = state.tuning.take(slot, axis=-1)
        past[0], past[1] = one_euro(raw, past[0], past[1], h, f_min, beta, f_d)
        tick.smooth[..., where] = past[0]
        state.filtered[slot] = past.transpose(2, 0, 1)


def _note_gaps(
    state: State,
    slot: NDArray[np.intp],
    t_us: NDArray[np.int64],
    since: NDArray[np.int64],
    begun: NDArray[np.bool_],
) -> None:
    """Add up the pauses between accepted frames that are longer than two nominal frames."""
    if not begun.all():
        new = slot[~begun]
        state.first_us[new] = t_us[~begun]
        since = np.where(begun, since, 0)
    state.gap_us[slot] += np.where(since > state.pause_us[slot], since, 0)


def _note_frozen(
    state: State, slot: NDArray[np.intp], fingerprint: Reals, begun: NDArray[np.bool_]
) -> None:
    """Count accepted frames in runs of `FROZEN_RUN` or more with identical landmarks."""
    same = (state.fingerprint[slot] == fingerprint) & begun
    run = np.where(same, state.run[slot] + 1, 1)
    state.run[slot] = run
    state.fingerprint[slot] = fingerprint
    if (run >= FROZEN_RUN).any():
        state.frozen[slot] += np.where(run > FROZEN_RUN, 1, np.where(run == FROZEN_RUN, run, 0))


def signals(state: State, library: Library, tick: Tick) -> Signals:
    """Features, primary signal and similarity of the accepted records."""
    columns = tick.columns
    n, m = len(columns), tick.raw.shape[-1]
    features = hand_features(tick.smooth)
    known = np.ones(n, np.bool_)
    uses_roll = state.uses_roll[columns.slot]
    if uses_roll.any():
        seen = turn_seen(tick.palm)
        for at in tick.rounds:
            _unwrap(state, tick, at, features[ROLL], seen, known)
        known |= ~uses_roll
    t0, period = state.guide_t0[columns.slot], state.guide_period[columns.slot]
    phase = np.zeros(m, np.int64)
    phase[:n] = (columns.t_us - t0) % period * GUIDE_PHASES // period
    motion = np.zeros(m, np.intp)
    motion[:n] = state.motion[columns.slot]
    x = library.signal(features, motion)
    sim = library.similarity(features, motion, phase)
    rest, span = state.anchors.take(columns.slot, axis=1)
    z = (x[:n] - rest) / span
    # A hand of the wrong side bends backwards, so its curl is negative: the size is meant.
    curled = np.abs(features[CURL]) > CURLED
    palmar = curled & (landmarks(tick.smooth)[2, 1:, 3].sum(axis=0) > 0.0)
    q = landmarks(tick.raw)
    bones = norm(q[:, 1:, 1:] - q[:, 1:, :-1]).reshape(12, m)
    angles = features.take(_JOINT_ROWS, axis=0)
    angles -= ANGLE_MIN
    np.maximum(angles, 0.0, out=angles)
    np.minimum(angles, ANGLE_BINS - 1.0, out=angles)
    bins = angles.astype(np.int64)
    bins += _JOINT_BINS
    kept = features
    if (state.kind[columns.slot] == HOLD).any():
        unit = np.ones(m, np.float32)
        unit[:n] = np.where(state.image[columns.slot], 1.0, tick.palm.scale[:n])
        tips = (q[:, :, 3] * unit).swapaxes(0, 1).reshape(15, m)
        kept = np.concatenate((features, tips))
    return Signals(features, x, z, sim, known, curled, palmar, bones, bins, kept)


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
    told = seen.known[where]
    tally = np.empty((n, 3), np.int64)
    tally[:, 0], tally[:, 1], tally[:, 2] = (
        tick.columns.score[where],
        seen.curled[where],
        seen.palmar[where],
    )
    state.tally[slot] += tally
    sums = np.empty((n, 26))
    bones = sums[:, :12]
    bones[...] = seen.bones[:, where].T
    np.multiply(bones, bones, out=sums[:, 12:24])
    x, sim = seen.x[where], seen.sim[where]
    sums[:, 24], sums[:, 25] = x, sim
    if not told.all():
        sums[~told, 24:] = 0.0
        x_low, x_high = np.where(told, x, np.inf), np.where(told, x, -np.inf)
    else:
        x_low = x_high = x
    state.sums[slot] += sums
    state.x_min[slot] = np.minimum(state.x_min[slot], x_low)
    state.x_max[slot] = np.maximum(state.x_max[slot], x_high)
    here = seen.bins[:, where] + slot * (len(JOINTS) * ANGLE_BINS)
    np.add.at(state.hist.reshape(-1), here.ravel(), np.uint32(1))
