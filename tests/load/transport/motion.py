"""The frame messages that are sent: real simulated motion, ready but for its time."""

import struct
from dataclasses import replace

import numpy as np

from models.catalog.library import motion_library
from sessions.synthetic import play_set, sample_child

PERIOD_US = 33_333
"""From one frame to the next: 30 a second."""
T0_US = 1_000_000_000
"""Capture time of round 0."""
_HEAD = struct.Struct("<QI")
_HEAD_AT = 8


def t_us_of(number: int) -> int:
    """Return the capture time of a round's frames."""
    return T0_US + number * PERIOD_US


def round_of(t_us: int) -> int:
    """Return the round whose frames were captured at a time."""
    return round((t_us - T0_US) / PERIOD_US)


class Motion:
    """Several children making the same fists, each in its own way, again and again."""

    def __init__(self, children: int = 8, reps: int = 12) -> None:
        motion = motion_library().get("fist")
        self._children = []
        for seed in range(children):
            child = replace(sample_child(np.random.default_rng(seed), noise_mm=1.0), side="right")
            child = replace(child, dropout_rate=0.0)
            made = play_set(child, motion, reps=reps, seed=seed)
            self._children.append([payload for _, payload in made.messages(1)])

    def __len__(self) -> int:
        return len(self._children)

    def payload(self, child: int, number: int) -> bytes:
        """Return the frame message of a child in a round, one hand in it."""
        messages = self._children[child]
        made = messages[number % len(messages)]
        head = _HEAD.pack(t_us_of(number), number)
        return made[:_HEAD_AT] + head + made[_HEAD_AT + _HEAD.size :]
