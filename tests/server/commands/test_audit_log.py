"""`gemgem audit-log` on a log that is whole, and on one that is not."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pymongo
import pytest

from models.accounts.tokens import create_dev_key
from models.audit.log import AuditLog
from models.audit.records import Look, chain_of
from models.cipher import FieldCipher, dev_ring
from models.db import Mongo
from server.__main__ import main
from server.parts.families import audit_repo

CHAIN = chain_of("c_1")


@pytest.fixture
def written(
    mongo_url: str, mongo_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    mongo_admin: pymongo.MongoClient[dict[str, Any]],
) -> Any:  # fmt: skip
    """Write three entries, point the command at them, and return their collection."""
    key = tmp_path / "dev.pem"
    create_dev_key(key)

    async def write() -> None:
        mongo = Mongo(mongo_url, mongo_database)
        repo = audit_repo(mongo, FieldCipher(dev_ring(key)))
        await repo.ensure_indexes()
        looks = [
            Look("c_1", "u_1", None, "s_1", "therapist", "results", "rest", None, None, None, n)
            for n in range(3)
        ]
        await AuditLog(repo).record(looks)
        await mongo.close()

    asyncio.run(write())
    monkeypatch.setenv("GEMGEM_MONGO_URL", mongo_url)
    monkeypatch.setenv("GEMGEM_DEV_KEY", str(key))
    monkeypatch.setenv("GEMGEM_STORE__MONGO_DATABASE", mongo_database)
    return mongo_admin[mongo_database]["access_log"]


def test_a_log_that_is_whole(
    written: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit-log", "verify"]) == 0
    assert capsys.readouterr().out == "3 entries, 0 faults\n"
    assert main(["audit-log", "anchor"]) == 0
    anchor = tmp_path / "anchor.json"
    anchor.write_text(capsys.readouterr().out)
    assert main(["audit-log", "verify", "--anchor", str(anchor), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"entries": 3, "faults": []}


def test_a_log_that_was_altered(written: Any, capsys: pytest.CaptureFixture[str]) -> None:
    written.update_one({"_id": f"{CHAIN}:1"}, {"$set": {"user_id": "u_2"}})
    assert main(["audit-log", "verify", "--json"]) == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert faults == [{"chain": CHAIN, "seq": 1, "what": "altered"}]
    assert main(["audit-log", "anchor"]) == 1, "what is broken is no anchor"
    assert "altered" in capsys.readouterr().out


def test_what_cannot_be_checked_is_told(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"chain": 1}')
    assert main(["audit-log", "verify", "--anchor", str(wrong)]) == 2
    assert main(["audit-log", "verify", "--anchor", str(tmp_path / "none")]) == 2
    monkeypatch.setenv("GEMGEM_MONGO_URL", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50")
    assert main(["audit-log", "verify"]) == 2
    monkeypatch.delenv("GEMGEM_MONGO_URL")
    assert main(["audit-log", "verify"]) == 2
    told = capsys.readouterr().err
    for said in ("no output of", "No such file", "does not answer", "GEMGEM_MONGO_URL"):
        assert said in told
