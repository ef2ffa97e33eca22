"""Every command, given settings it cannot use: a clear line and a status, never a trace."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from config.clock import SystemClock
from models.accounts.tokens import create_dev_key
from server.__main__ import COMMANDS, main
from server.commands.faults import FAULTS, tell
from server.simulation.ledger import FileLedger

LINES = {
    "serve": ["--port", "0"],
    "worker": [],
    "seed": [],
    "token": ["--role", "guardian"],
    "revoke": ["sid-1"],
    "roles": ["jiu@example.com", "--role", "guardian"],
    "demo": ["--seconds", "1"],
    "simulate": ["--seconds", "1"],
    "audit": ["--ledger", "ledger.jsonl"],
    "audit-log": ["verify"],
    "rescore": ["s-1"],
    "chaos": ["--plan", "short"],
    "dead-letters": ["list"],
    "outbox": ["list"],
    "reseal": [],
    "forget": ["u_1", "--yes"],
}
"""A call of each command that reads settings."""
WITHOUT = {"contract", "score"}
"""Commands that read none."""
OF_STORES = sorted(LINES.keys() - {"token", "simulate", "chaos", "demo"})
PATIENT = {"serve", "worker"}
"""They wait for a store that is away."""


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Put back what commands that run in this process make of the logs."""
    root = logging.getLogger()
    level, handlers, levels = root.level, root.handlers[:], dict(_levels())
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name in _levels():
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


def _levels() -> dict[str, int]:
    known = logging.root.manager.loggerDict
    return {name: one.level for name, one in known.items() if isinstance(one, logging.Logger)}


@pytest.fixture
def called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> pytest.MonkeyPatch:
    """Return what the environment is changed with: stores where nobody answers, and a key."""
    create_dev_key(tmp_path / "dev-key.pem")
    with FileLedger(tmp_path / "ledger.jsonl", SystemClock()) as ledger:
        ledger.opened("s-0", "c-0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEMGEM_DEV_KEY", str(tmp_path / "dev-key.pem"))
    monkeypatch.setenv("GEMGEM_MONGO_URL", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50")
    monkeypatch.setenv("GEMGEM_REDIS_URL", "redis://127.0.0.1:9")
    monkeypatch.setenv("GEMGEM_STORE__REDIS_TIMEOUT_MS", "50")
    return monkeypatch


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Call a command that cannot work; return what it said."""
    capsys.readouterr()
    status = main([command, *LINES[command]])
    said = capsys.readouterr().err
    assert status == 2, said
    assert said.startswith(f"{command}: "), said
    assert "Traceback" not in said
    return said


def test_every_command_is_asked() -> None:
    names = {command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS}
    assert {"token" if name == "access-token" else name for name in names} == {*LINES, *WITHOUT}


@pytest.mark.parametrize("command", LINES)
def test_a_faulty_value_is_named_and_not_repeated(
    command: str, called: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called.setenv("GEMGEM_HTTP__PORT", "hunter2")
    called.setenv("GEMGEM_STORE__SHARDS", "0")
    said = refused(command, capsys)
    assert "setting http.port: " in said
    assert "setting store.shards: " in said
    assert "hunter2" not in said


@pytest.mark.parametrize("command", ["serve", "forget", "chaos"])
def test_a_list_that_is_no_json_is_named(
    command: str, called: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called.setenv("GEMGEM_HTTP__ORIGINS", "https://console.example")
    assert "http" in refused(command, capsys)


@pytest.mark.parametrize("variable", ["GEMGEM_MONGO_URL", "GEMGEM_REDIS_URL"])
@pytest.mark.parametrize("command", OF_STORES)
def test_an_address_that_is_none_is_named_and_not_repeated(
    command: str, variable: str, called: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called.setenv(variable, "hunter2://here")
    said = refused(command, capsys)
    assert "hunter2" not in said


@pytest.mark.parametrize("command", sorted({*OF_STORES} - PATIENT))
def test_a_store_that_is_away_is_told(
    command: str, called: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "answer" in refused(command, capsys)


@pytest.mark.parametrize("command", ["serve", "worker", "forget", "roles", "reseal", "seed"])
def test_a_key_that_is_not_there_is_told(
    command: str, called: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called.setenv("GEMGEM_DEV_KEY", "nowhere.pem")
    assert "nowhere.pem" in refused(command, capsys)


def test_what_redis_says_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell("x", RedisError("secret")) == 2
    said = capsys.readouterr().err
    assert "Redis" in said
    assert "secret" not in said


def test_what_is_no_matter_of_a_store_blames_none(capsys: pytest.CaptureFixture[str]) -> None:
    for fault in (TimeoutError("secret"), PermissionError(13, "no", "mails/jiu@example.com")):
        assert isinstance(fault, FAULTS)
        assert tell("x", fault) == 2
        said = capsys.readouterr().err
        assert said.startswith("x: ")
        assert not [word for word in ("Redis", "MongoDB", "secret", "jiu") if word in said]
