"""Logging: one line a record on standard error, library loggers kept from printing payloads."""

import logging
import time

from config.redaction import redacted

QUIET = ("socketio", "engineio", "aiohttp.access", "pymongo", "httpx", "httpcore")
"""Loggers that say more than may be written down."""


class RedactingFormatter(logging.Formatter):
    """Formats records, traces included, and hides what must not be written down."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return redacted(super().format(record))


def configure_logs(level: str) -> None:
    """Send log records of `level` and above to standard error, times in UTC.

    At INFO the Socket.IO and Engine.IO loggers print payloads, which hold motion data and tokens,
    and httpx prints whole URLs, which hold secrets; they and the access log are kept at WARNING
    whatever `level` says. Whatever is logged passes through `redacted` before it is written.
    """
    formatter = RedactingFormatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
