"""Where in what the network brings WebSocket frames begin and end (RFC 6455, 5.2)."""


class Walk:
    """Follows the frames in what the network brings, to know when it ends with a whole message."""

    __slots__ = ("_head", "_left", "_parted")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the frame under way that are still to come."""
        self._head = b""
        """The beginning of a frame that was cut within its head."""
        self._parted = False
        """Whether a message came in several frames; who does that is not followed any more."""

    def follow(self, data: bytes) -> bool:
        """Return whether what came so far ends with a whole message."""
        if self._parted:
            return False
        if self._head:
            data, self._head = self._head + data, b""
        at, end = self._left, len(data)
        while at < end:
            size = data[at + 1] & 0x7F if at + 1 < end else 0
            wide = 2 if size == 126 else 8 if size == 127 else 0
            head = at + 2 + wide
            if head > end:
                self._head = data[at:]
                self._left = 0
                return False
            if data[at] & 0x8F in (0x00, 0x01, 0x02, 0x80):  # not the last, or not the first
                self._parted = True
                return False
            if wide:
                size = int.from_bytes(data[at + 2 : head], "big")
            at = head + size + (4 if data[at + 1] & 0x80 else 0)
        self._left = at - end
        return not self._left
