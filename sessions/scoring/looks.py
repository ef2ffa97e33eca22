"""How open sets stand now, many at a time: what players, watchers and lists are shown."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.marks import Advice, Live
from sessions.scoring.rounds import AnyBook
from sessions.scoring.sets import inverted
from sessions.scoring.state import HOLD, State

_SECOND_US = 1_000_000
_MISSING_US = 1_000_000


def lives(state: State, books: Sequence[AnyBook]) -> list[Live | None]:
    """Each set at its latest accepted frame; None before there is one."""
    slots = np.array([book.slot for book in books], np.intp)
    signal_us = state.signal_us[slots]
    held: list[float | None] = [None] * len(books)
    holding = state.kind[slots] == HOLD
    if holding.any():
        since = np.where(state.inside[slots], signal_us - state.held_us[slots], 0) / 1e6
        for i in np.flatnonzero(holding).tolist():
            held[i] = float(since[i])
    columns = (
        books,
        state.frames[slots].tolist(),
        signal_us.tolist(),
        state.z[slots].tolist(),
        state.sim[slots].tolist(),
        _valid_shares(state, books, slots).tolist(),
        held,
    )
    return [
        Live(
            t_us,
            z,
            sim if book.plan.motion.guided else None,
            valid,
            book.counts["full"],
            book.counts["partial"],
            stayed,
        )
        if frames
        else None
        for book, frames, t_us, z, sim, valid, stayed in zip(*columns, strict=True)
    ]


def advices(state: State, books: Sequence[AnyBook]) -> list[Advice]:
    """How well each hand is tracked now, as far as records tell; silence is not seen here."""
    slots = np.array([book.slot for book in books], np.intp)
    since = np.where(state.begun[slots], state.last_us[slots], state.first_seen[slots])
    tally = state.tally[slots]
    columns = (
        _valid_shares(state, books, slots).tolist(),
        (state.last_seen[slots] - since >= _MISSING_US).tolist(),
        inverted(tally[:, 1], tally[:, 2]).tolist(),
    )
    return list(map(Advice._make, zip(*columns, strict=True)))


def _valid_shares(
    state: State, books: Sequence[AnyBook], slots: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(n,) accepted frames of the last second by those the nominal rate promises, 0..1."""
    fps = np.array([book.plan.fps for book in books])
    now, n, length = state.last_seen[slots], state.frames[slots], state.ring_len[slots]
    # More than the rate promises says nothing more: the share ends at 1.
    looked_at = np.minimum(np.minimum(np.ceil(fps).astype(np.int64), length), n)[:, None]
    back = np.arange(1, int(looked_at.max(initial=0)) + 1)
    at = (n % length)[:, None] - back
    at += (at < 0) * length[:, None]
    recent = state.ring_us[slots[:, None], at] > (now - _SECOND_US)[:, None]
    valid = (recent & (back <= looked_at)).sum(axis=1)
    elapsed = np.minimum((now - state.first_seen[slots]) / 1e6, 1.0)
    share: NDArray[np.float64] = np.minimum(valid / np.maximum(fps * elapsed, 1.0), 1.0)
    return share
