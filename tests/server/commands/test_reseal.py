"""`gemgem reseal`: after it no field rests on an older key, and nothing else has changed."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pymongo
import pytest

from models.cipher import Context, FieldCipher, KeyRing
from models.sealed import BATCH, FIELDS, SealedField
from server.__main__ import main

OLD, NEW, INDEX = bytes(32), bytes([1]) * 32, bytes([2]) * 32
BEFORE = FieldCipher(KeyRing({"old": OLD}, "old", INDEX))
AFTER = FieldCipher(KeyRing({"new": NEW}, "new", INDEX))
ROOT = Path(__file__).parents[3]
Admin = pymongo.MongoClient[dict[str, Any]]


def coded(key: bytes) -> str:
    """Return a key as the settings write it."""
    return base64.b64encode(key).decode()


def document(field: SealedField, owner: str, cipher: FieldCipher) -> dict[str, Any]:
    """Return a document with one sealed text in it."""
    context = Context(field.collection, field.field.replace("*", "apple"), owner)
    value: Any = cipher.seal(f"비밀 {owner}", context)
    for step in reversed(field.path.split(".")):
        if step != "*":
            value = {step: value}
        else:
            value = [value] if field.collection == "users" else {"apple": value}
    return {"_id": owner, **value}


def text_of(field: SealedField, held: Any) -> str:
    """Return the sealed text of such a document."""
    for step in field.path.split("."):
        held = held[0] if isinstance(held, list) else held["apple" if step == "*" else step]
    return str(held)


@pytest.fixture
def database(
    mongo_url: str, mongo_database: str, mongo_admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Return the database that the command works on, with both keys."""
    monkeypatch.setenv("GEMGEM_MONGO_URL", mongo_url)
    monkeypatch.setenv("GEMGEM_STORE__MONGO_DATABASE", mongo_database)
    monkeypatch.setenv("GEMGEM_FIELD_KEYS", f"new:{coded(NEW)},old:{coded(OLD)}")
    monkeypatch.setenv("GEMGEM_INDEX_KEY", coded(INDEX))
    return mongo_admin[mongo_database]


def reseal(capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """Run the command."""
    capsys.readouterr()
    status = main(["reseal", "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_every_place_the_code_seals_for_is_known() -> None:
    place = re.compile(r'Context\((?:"(\w+)"|COLLECTION), f?"([^"]+)"')
    named = set()
    for path in (ROOT / "models").rglob("*.py"):
        text = path.read_text()
        own = re.search(r'^COLLECTION: Final = "(\w+)"', text, re.MULTILINE)
        for collection, field in place.findall(text):
            known = collection or (own[1] if own else "")
            named.add((known, re.sub(r"\{.*\}", "*", field)))
    assert named == {(field.collection, field.field) for field in FIELDS}


def test_no_field_rests_on_an_older_key_afterwards(
    database: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for n, field in enumerate(FIELDS):
        database[field.collection].insert_one(document(field, f"x_{n}", BEFORE))
        database[field.collection].insert_one(document(field, f"y_{n}", AFTER))
    status, said = reseal(capsys)
    assert (status, sum(said["resealed"].values()), said["lost"]) == (0, len(FIELDS), [])
    for n, field in enumerate(FIELDS):
        for owner in (f"x_{n}", f"y_{n}"):
            sealed = text_of(field, database[field.collection].find_one({"_id": owner}))
            context = Context(field.collection, field.field.replace("*", "apple"), owner)
            assert AFTER.open(sealed, context) == f"비밀 {owner}"
    assert sum(reseal(capsys)[1]["resealed"].values()) == 0, "a second time changes nothing"


def test_it_goes_on_past_a_batch_and_past_what_cannot_be_opened(
    database: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    field = SealedField("children", "name", "name")
    rows = [document(field, f"c_{n:04d}", BEFORE) for n in range(BATCH + 3)]
    rows[1]["name"] = "s1.gone.AAAA"
    rows[2]["name"] = None
    database["children"].insert_many(rows)
    status, said = reseal(capsys)
    assert (status, said["resealed"]["children.name"], said["lost"]) == (
        1,
        BATCH + 1,
        ["children/c_0001"],
    )
    assert database["children"].find_one({"_id": "c_0001"})["name"] == "s1.gone.AAAA"


def test_it_says_what_it_did(database: Any, capsys: pytest.CaptureFixture[str]) -> None:
    database["children"].insert_one({"_id": "c_1", "name": "s1.gone.AAAA"})
    assert main(["reseal"]) == 1
    told = capsys.readouterr()
    assert "1 cannot be opened" in told.out
    assert "children/c_1" in told.err
