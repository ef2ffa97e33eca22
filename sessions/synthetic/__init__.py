"""The simulated child: a hand that plays motions from one seed, with its truth known.

`ChildParameters` say how the child moves and what its camera sees, `play_set` plays one set,
`stream` plays without end.
"""

from sessions.synthetic.child import ChildParameters, sample_child
from sessions.synthetic.play import SimulatedSet, TimedMessage, TrueRep, play_set, stream

__all__ = [
    "ChildParameters",
    "SimulatedSet",
    "TimedMessage",
    "TrueRep",
    "play_set",
    "sample_child",
    "stream",
]
