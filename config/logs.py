"""Logging: one line a record on standard error, library loggers kept from printing payloads."""

import logging
import time


def configure_logs(level: str) -> None:
    """Send log records of `level` and above to standard error, times in UTC.

    The Socket.IO and Engine.IO loggers print payloads at INFO, which holds motion data and
    tokens; they, and the access log, are kept at WARNING whatever `level` says.
    """
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("socketio", "engineio", "aiohttp.access", "pymongo"):
        logging.getLogger(name).setLevel(logging.WARNING)
