"""The simulated child: a hand that plays motions from one seed, with its truth known.

`ChildParameters` say how the child moves and what its camera sees, `play_set` plays one set,
`stream` plays without end.
"""

from sessions.synthetic.child import ChildParameters, sample_child
from sessions.synthetic.play import SimulatedSet, TimedMessage, play_set, stream
from sessions.synthetic.truth import TrueHold, TrueRep, TrueStep, Truth

__all__ = [
    "ChildParameters",
    "SimulatedSet",
    "TimedMessage",
    "TrueHold",
    "TrueRep",
    "TrueStep",
    "Truth",
    "play_set",
    "sample_child",
    "stream",
]
