"""Frames that a tick finds as it begins, and that need no look before they are scored."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessions.session import Session


class Fresh:
    """Where sessions put such frames, instead of into their inboxes.

    One for all sessions of an engine: what a thousand sessions add to in turn stays in the
    processor's cache, a thousand inboxes do not.
    """

    __slots__ = ("open", "payloads", "sessions", "undue")

    def __init__(self) -> None:
        self.open = False
        """Whether a tick gathers them now. It scores them before anything else may happen."""
        self.sessions: list[Session] = []
        self.payloads: list[bytes] = []
        """One of each session, kept for its next append already."""
        self.undue: list[Session] = []
        """Those of them that held nothing to append before."""

    def clear(self) -> None:
        """Forget them: they are scored."""
        self.sessions.clear()
        self.payloads.clear()
        self.undue.clear()
