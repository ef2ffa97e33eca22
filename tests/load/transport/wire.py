"""The client's side of a WebSocket (RFC 6455), cut down to what a load generator needs."""

import base64
import hashlib
import os
import struct
import zlib

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"
"""One masking key for the whole run; not zero, since some servers skip the unmasking then."""
OFFER = "permessage-deflate; client_max_window_bits"
"""What browsers offer. Whatever a server agrees to, the generator never compresses."""
_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TAIL = b"\x00\x00\xff\xff"
_FIN, _RSV1 = 0x80, 0x40


class WireError(Exception):
    """The server did not do what the WebSocket protocol says."""


def masked(data: bytes) -> bytes:
    """Return data as it goes over the wire under `KEY`."""
    size = len(data)
    key = (KEY * (size // 4 + 1))[:size]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(key, "little")
    return mixed.to_bytes(size, "little")


def frame(opcode: int, data: bytes) -> bytes:
    """Return a whole message as one masked frame."""
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", _FIN | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", _FIN | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", _FIN | opcode, 0x80 | 127, size)
    return head + KEY + masked(data)


class Handshake:
    """An opening handshake: what is sent, and whether the answer fits it."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._nonce = base64.b64encode(os.urandom(16))
        self.request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {self._nonce.decode()}\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: {OFFER}\r\n\r\n"
        ).encode()

    def reader(self, head: bytes) -> "Reader":
        """Return the reader for what follows the answer's head.

        Raises:
            WireError: the server did not upgrade.
        """
        lines = head.decode("latin-1").split("\r\n")
        if not lines[0].startswith("HTTP/1.1 101"):
            raise WireError(f"no upgrade: {lines[0]}")
        pairs = [line.split(":", 1) for line in lines[1:] if ":" in line]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        expected = base64.b64encode(hashlib.sha1(self._nonce + _ACCEPT).digest())  # noqa: S324
        if headers.get("sec-websocket-accept", "").encode() != expected:
            raise WireError("the answer to the handshake does not fit its key")
        return Reader(headers.get("sec-websocket-extensions", ""))


class Reader:
    """Splits what a server sends into messages, inflating those that it compressed."""

    __slots__ = ("_fresh", "_inflate", "_rest", "deflated")

    def __init__(self, extensions: str = "") -> None:
        self.deflated = "permessage-deflate" in extensions
        """Whether the server agreed to compression."""
        self._fresh = "server_no_context_takeover" in extensions
        self._inflate = zlib.decompressobj(-15) if self.deflated else None
        self._rest = b""

    def take(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages that data completes: opcode and content.

        Raises:
            WireError: a fragment, or a compressed frame that was not agreed to.
        """
        if self._rest:
            data = self._rest + data
        found = []
        at, end = 0, len(data)
        while end - at >= 2:
            first, size = data[at], data[at + 1]
            start = at + 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                start += wide
                if end < start:
                    break
                size = int.from_bytes(data[start - wide : start], "big")
            if end - start < size:
                break
            at = start + size
            content = data[start:at]
            if not first & _FIN or not first & 0x0F:
                raise WireError("a fragmented message")
            if first & _RSV1:
                content = self._inflated(content)
            found.append((first & 0x0F, content))
        self._rest = data[at:]
        return found

    def _inflated(self, content: bytes) -> bytes:
        if self._inflate is None:
            raise WireError("a compressed frame that was not agreed to")
        plain = self._inflate.decompress(content + _TAIL)
        if self._fresh:
            self._inflate = zlib.decompressobj(-15)
        return plain
