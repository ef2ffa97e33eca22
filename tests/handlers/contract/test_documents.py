"""The documents are valid, say what is served, and what is said fits them."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from handlers.contract.asyncapi import asyncapi
from handlers.contract.openapi import openapi
from handlers.live.base import Event
from handlers.live.contract import CLIENT, SERVER, ContractError, check_live
from handlers.live.game import GameNamespace
from handlers.live.protocol import SetEnd
from handlers.live.watch import WatchNamespace
from handlers.rest.tables import ROUTES
from models.accounts.records import Role
from models.codes import ERRORS, ErrorCode
from tests.handlers.routing.sample import Notes

ALL = (*ROUTES, *Notes().routes())


def references(part: Any) -> Iterator[str]:
    """Yield every reference inside a document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def at(document: Any, reference: str) -> Any:
    """Return what a reference leads to."""
    assert reference.startswith("#/")
    for key in reference[2:].split("/"):
        document = document[key]
    return document


def test_the_rest_document_is_valid_openapi() -> None:
    openapi_spec_validator.validate(openapi(ROUTES))
    openapi_spec_validator.validate(openapi(ALL))


def test_every_route_is_in_it_with_all_its_answers() -> None:
    document = openapi(ALL)
    operations = {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert operations.keys() == {row.name for row in ALL}
    for row in ALL:
        statuses = {str(ERRORS[code].status) for code in row.codes} | {str(row.status)}
        assert operations[row.name]["responses"].keys() == statuses
        assert operations[row.name]["security"] == ([] if row.policy.public else [{"bearer": []}])
        assert operations[row.name]["summary"].endswith(".")
    names = [operation["operationId"] for operation in operations.values()]
    assert len(names) == len(set(names))


def test_an_answer_names_the_codes_it_may_carry() -> None:
    document = openapi(ALL)
    for row in ALL:
        answers = document["paths"][row.public_path][row.method.lower()]["responses"]
        said = set()
        for status, answer in answers.items():
            if int(status) >= 400:
                schema = at(document, answer["$ref"])["content"]["application/json"]["schema"]
                said |= set(schema["allOf"][1]["properties"]["error"]["properties"]["code"]["enum"])
        assert said == {code.value for code in row.codes}, row.name


@pytest.mark.parametrize("document", [openapi(ALL), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 10
    for reference in found:
        assert at(document, reference)


def test_the_documents_are_the_same_each_time() -> None:
    assert json.dumps(openapi(ALL)) == json.dumps(openapi(ALL))
    assert json.dumps(asyncapi()) == json.dumps(asyncapi())


def test_every_event_is_in_the_live_document() -> None:
    document = asyncapi()
    for namespace in CLIENT:
        channel = document["channels"][namespace.strip("/")]
        assert channel["address"] == namespace
        named = {m["name"] for key, m in channel["messages"].items() if not key.endswith(".answer")}
        assert named == {*CLIENT[namespace], *SERVER[namespace]}
    actions = [one["action"] for one in document["operations"].values()]
    assert actions.count("receive") == sum(map(len, CLIENT.values()))
    assert actions.count("send") == sum(map(len, SERVER.values()))


def validator_of(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft7Validator:
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft7Validator.check_schema(whole)
    return jsonschema.Draft7Validator(whole)


def test_payloads_are_checked_by_the_schemas_of_the_live_document() -> None:
    document = asyncapi()
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            validator_of(document, message["payload"])
    set_end = document["channels"]["game"]["messages"]["set.end"]["payload"]
    validator = validator_of(document, set_end)
    assert validator.is_valid([3, {"set_no": 1}])
    for bad in ([{"set_no": 1}], [3, {"set_no": 0}], [3, {"set_no": 1, "more": 1}], [-1, {}],
                [3, {"set_no": 1}, 4]):  # fmt: skip
        assert not validator.is_valid(bad), bad


# -- the table of the live events is enforced

NOWHERE: Any = None


def test_an_event_without_a_declared_policy_stops_the_start() -> None:
    game = GameNamespace(NOWHERE, NOWHERE)
    game.table["dance"] = Event(None, print)
    with pytest.raises(ContractError, match="/game dance has no declared policy"):
        check_live((game, WatchNamespace(NOWHERE, NOWHERE)))


def test_a_difference_between_the_tables_stops_the_start() -> None:
    game, watch = GameNamespace(NOWHERE, NOWHERE), WatchNamespace(NOWHERE, NOWHERE)
    check_live((game, watch))
    del game.table["clock"]
    game.table["set:end"] = Event(None, print, numbered=False)
    game.table["session:open"] = Event(SetEnd, print)
    watch.roles = watch.roles | {Role.CHILD}
    with pytest.raises(ContractError) as refused:
        check_live((game, watch))
    said = str(refused.value)
    assert "/game clock is declared, not served" in said
    assert "/game set:end is numbered in one table alone" in said
    assert "/game session:open takes SetEnd" in said
    assert "/watch watch:join is for other roles" in said


def test_a_code_has_one_meaning_in_both_languages() -> None:
    assert ERRORS.keys() == set(ErrorCode)
    for one in (SimpleNamespace(code=c, **_fields(m)) for c, m in ERRORS.items()):
        assert 400 <= one.status < 600
        assert one.english.isascii()
        assert one.english.endswith(".")
        assert any("가" <= letter <= "힣" for letter in one.korean), one.code
    texts = [meaning.english for meaning in ERRORS.values()]
    assert len(texts) == len(set(texts))


def _fields(meaning: Any) -> dict[str, Any]:
    return {name: getattr(meaning, name) for name in ("status", "english", "korean")}
