"""The pages say what the code does: names, fields, codes, settings, metrics, commands, bytes."""

import argparse
import ast
import functools
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from pydantic import TypeAdapter

from config import metrics
from config.clock import SystemClock
from config.settings import DEFAULTS, Settings, load_settings
from config.version import VERSION
from handlers.contract.written import written
from handlers.live.base import Event, LiveNamespace
from handlers.live.contract import CLIENT, SERVER, check_live
from handlers.live.game import NUMBERED, GameNamespace
from handlers.live.protocol import TokenRenew
from handlers.live.told import Reason
from handlers.live.watch import WatchNamespace
from handlers.rest.tables import ROUTES
from models.accounts.tokens import create_dev_key
from models.catalog.library import motion_library
from models.codes import ERRORS, ErrorCode
from models.play.keys import PlayKeys
from models.play.records import COLLECTIONS
from server import __main__ as entry
from server.lifespan import PARTS
from server.simulation.performance import playable
from sessions.catalogue import catalogue
from sessions.engine import Engine
from sessions.feed import FeedHub, FeedItem, Joined
from sessions.frames import HDR, REC, decode
from sessions.opened import Opened
from sessions.scoring.verdicts import VERDICTS
from sessions.session import Session
from sessions.synthetic import ChildParameters, play_set
from sessions.terms import Message
from sessions.words import ADVICE
from tests.serving import serving, settings_of

ROOT = Path(__file__).parents[1]
TICKED = re.compile(r"`([^`]+)`")
HEADING = re.compile(r"^(#{2,4}) (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = sorted(
    p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
)

Rows = list[list[str]]


@functools.cache
def page(name: str) -> str:
    return (ROOT / name).read_text()


def section(name: str, title: str, level: int = 2) -> str:
    """Return what stands under a heading, to the next of its level or above."""
    headings = list(HEADING.finditer(page(name)))
    for n, found in enumerate(headings):
        if found[2] == title and len(found[1]) == level:
            after = (h.start() for h in headings[n + 1 :] if len(h[1]) <= level)
            return page(name)[found.end() : next(after, None)]
    raise AssertionError(f"{name} has no section {title!r}")


def headed(text: str, level: int = 3) -> dict[str, str]:
    """Return the parts of a text by their headings."""
    found = [h for h in HEADING.finditer(text) if len(h[1]) == level]
    ends = [h.start() for h in found[1:]] + [len(text)]
    return {h[2]: text[h.end() : end] for h, end in zip(found, ends, strict=True)}


def tables(text: str) -> Iterator[tuple[str, Rows]]:
    """Yield each table: the first cell of its head, and its rows."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
        elif block:
            rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in block]
            yield rows[0][0], rows[2:]
            block = []


def rows(text: str, head: str) -> Rows:
    """Return the rows of the one table that begins with `head`; none if there is no table."""
    found = [rows for first, rows in tables(text) if first == head]
    assert len(found) <= 1, f"two tables of {head}"
    return found[0] if found else []


def first_cells(text: str, head: str) -> list[str]:
    cells = [bare(row[0]) for row in rows(text, head)]
    assert len(cells) == len(set(cells)), f"said twice: {cells}"
    return cells


def bare(cell: str) -> str:
    found = TICKED.fullmatch(cell)
    assert found, f"{cell!r} is not a name in backticks"
    return found[1]


# -- docs/protocol.md: what is sent

PROTOCOL = "docs/protocol.md"
BOTH = {"welcome", "token:renew", "closed", "draining"}


def table_of(kind: Callable[..., LiveNamespace[Any]]) -> dict[str, Event]:
    nowhere: Any = None
    return kind(nowhere, nowhere).table


def described(title: str) -> dict[str, str]:
    """Return the text on each event of a section by the event's name."""
    out = {}
    for heading, text in headed(section(PROTOCOL, title)).items():
        if names := TICKED.findall(heading):
            assert "(numbered)" in heading or names[0] not in {*NUMBERED, "frames"}, heading
            out[names[0]] = text
    return out


@pytest.mark.parametrize(
    ("title", "kind"),
    [("What a game sends", GameNamespace), ("What a watcher sends", WatchNamespace)],
)
def test_every_event_a_client_may_send_is_described(
    title: str, kind: Callable[..., LiveNamespace[Any]]
) -> None:
    table = table_of(kind)
    assert described(title).keys() == table.keys() - BOTH
    for heading in headed(section(PROTOCOL, title)):
        name = TICKED.findall(heading)[0]
        assert table[name].numbered == ("(numbered)" in heading), heading


def fields_said(text: str) -> dict[str, bool]:
    """Return the fields of a payload table, and whether each is needed."""
    needed = {"yes": True, "no": False}
    return {bare(row[0]): needed[row[2]] for row in rows(text, "Field")}


def test_every_field_a_client_may_send_is_described() -> None:
    table = {**table_of(GameNamespace), **table_of(WatchNamespace)}
    texts = {
        **described("What a game sends"),
        **described("What a watcher sends"),
        "token:renew": described("Connecting")["token:renew"],
    }
    assert table["token:renew"].payload is TokenRenew
    compared = 0
    for name, text in texts.items():
        model = NUMBERED.get(name) or table[name].payload
        if model is None:
            assert name == "frames"
            assert first_cells(text, "Argument") == ["seq", "bytes"]
            continue
        fields = {key: field.is_required() for key, field in model.model_fields.items()}
        assert fields_said(text) == fields, name
        compared += len(fields)
    assert compared > 20


# -- docs/protocol.md: what is heard


def literal_keys(node: ast.expr | None) -> set[str]:
    """Return the keys of a dict that is written out."""
    if not isinstance(node, ast.Dict):
        return set()
    return {key.value for key in node.keys if isinstance(key, ast.Constant)}


@functools.cache
def sent() -> dict[str, set[str]]:
    """Return the events the code sends, each with the keys that are written out there."""
    found: dict[str, set[str]] = {}
    folders = ("handlers/live", "sessions", "server", "server/realtime")
    for path in [path for folder in folders for path in ROOT.glob(f"{folder}/*.py")]:
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            known = [a.value for a in call.args if isinstance(a, ast.Constant)]
            texts = [value for value in known if isinstance(value, str)]
            if call.func.attr in ("send", "end") and call.args[:1] and texts:
                body = call.args[1] if len(call.args) > 1 else None
                if isinstance(call.args[0], ast.Constant):
                    found.setdefault(texts[0], set()).update(literal_keys(body))
            elif call.func.attr == "tell" and texts:
                found.setdefault(texts[0], set()).update(literal_keys(call.args[-1]))
            elif call.func.attr in ("encode", "enclose") and texts and call.args[1:]:
                found.setdefault(texts[0], set())
    return found


def heard() -> dict[str, str]:
    both = {k: v for k, v in described("Connecting").items() if k != "token:renew"}
    return {**both, **described("What a game hears"), **described("What a watcher hears")}


def test_every_event_the_server_sends_is_described() -> None:
    assert heard().keys() == sent().keys()


def test_what_is_written_out_in_the_code_is_described() -> None:
    compared = 0
    for name, keys in sent().items():
        if keys:
            said = set(first_cells(heard()[name], "Field"))
            # `refused` adds the error's own keys.
            said -= {"code", "message", "details", "retry_ms"} if name == "refused" else set()
            assert said == keys, name
            compared += 1
    assert compared >= 8


class Ear:
    """Hears what a player and a watcher of one session are told."""

    def __init__(self) -> None:
        self.events: dict[str, list[Any]] = {}
        self.items: list[FeedItem] = []
        self.shots: list[Joined] = []
        self.results: list[dict[str, Any]] = []

    def send(self, event: str, *args: Any) -> None:
        self.events.setdefault(event, []).append(args[0])

    def tell(self, event: str, body: bytes) -> None:
        self.send(event, msgpack.unpackb(body))

    def end(self, event: str, error: Any) -> None:
        raise AssertionError(f"{event}: {error}")

    def feed(self, item: FeedItem) -> None:
        self.items.append(item)

    def snapshot(self, joined: Joined) -> None:
        self.shots.append(joined)

    def ended(self, _: str, result: dict[str, Any]) -> None:
        self.results.append(result)


@pytest.fixture(scope="module")
def played() -> SimpleNamespace:
    """Play a set of each kind through the real engine and keep everything it says."""
    engine = Engine(
        catalogue=catalogue(),
        hub=FeedHub(),
        clock=SystemClock(),
        limits=load_settings().live,
        keys=PlayKeys("t", 1),
    )
    ear = Ear()
    document = {
        "_id": "s", "child_id": "c", "kind": "therapy", "schedule_id": None, "space": "world",
        "fps": 30.0, "opened_us": 0,
    }  # fmt: skip
    opened = Opened("s", "c", "a", "u", "therapy", "world", 30.0, "t", document)
    session = Session(opened, load_settings().live, token=1)
    session.player = ear
    engine.add(session)
    engine.watch("s", ear)
    answers: dict[str, Any] = {}
    records: list[dict[str, Any]] = []

    def put(event: str, payload: Any) -> None:
        message = Message(session.expected, event, payload)
        assert session.offer(
            message, 100, functools.partial(answers.__setitem__, event), float("inf")
        )
        engine.tick()
        for due, _ in engine.cut_due(0):
            due.landed()
            due.reached(due.buffered)

    summary, middle = {}, None
    for set_no, motion in enumerate(("fist", "pinch", "count"), start=1):
        known = catalogue().motion(motion)
        assert known is not None
        one = play_set(ChildParameters(side="right"), known.definition, reps=2, seed=5)
        start = {"set_no": set_no, "motion": motion, "side": "right", "asked_reps": 2}
        start |= {"asked_hold_s": None, "guide_t0_us": one.guide_t0_us, "difficulty": None}
        put("set:start", start)
        for message in one.messages(6):
            put("frames", message.payload)
        (summary,), middle = engine.summaries(), engine.watch("s", ear)
        put("set:end", {"set_no": set_no})
        records.append(answers["set:end"]["record"])
    put("session:close", {"reason": "done", "pain": None, "effort": None, "note": None})
    return SimpleNamespace(
        ear=ear, answers=answers, summary=summary, middle=middle, records=records
    )


@pytest.mark.parametrize("event", ["score", "peak", "rep"])
def test_what_a_game_hears_has_the_fields_described(played: SimpleNamespace, event: str) -> None:
    table = rows(heard()[event], "Field")
    always = {bare(row[0]) for row in table if "not always" not in row[1]}
    assert played.ear.events[event]
    for body in played.ear.events[event]:
        assert body.keys() - {bare(row[0]) for row in table} == set()
        assert always <= body.keys()


def test_answers_have_the_fields_described(played: SimpleNamespace) -> None:
    said = described("What a game sends")
    for event in ("set:start", "set:end", "session:close"):
        assert set(first_cells(said[event], "Answer")) == played.answers[event].keys(), event
    assert played.answers["frames"] == {}


def test_the_record_has_the_parts_described(played: SimpleNamespace) -> None:
    table = rows(section(PROTOCOL, "The PlayRecord"), "Part")
    parts = {name for row in table for name in TICKED.findall(row[0])}
    assert {"reps", "metrics", "grade", "stars"} <= parts
    for record in played.records:
        assert parts <= record.keys()
        assert record["reps"], record["motion"]
        for rep in record["reps"]:
            assert rep.keys() <= set(first_cells(heard()["rep"], "Field")), record["motion"]


def test_what_a_watcher_hears_has_the_fields_described(played: SimpleNamespace) -> None:
    texts = described("What a watcher hears")
    assert set(first_cells(texts["snapshot"], "In a snapshot")) == played.middle.snapshot.keys()
    # What only the server may see is taken out at the edge.
    assert set(first_cells(texts["live"], "In a summary")) == played.summary.keys() - {"child_id"}
    assert first_cells(texts["feed"], "Argument") == ["session_id", "offset", "bytes", "extra"]
    extra = rows(texts["feed"], "Argument")[3][2]
    told = {key for item in played.ear.items for key in item.extra}
    assert told == {"score", "peak", "rep"}
    assert set(TICKED.findall(extra)) == told | {"sent_us"}
    assert played.ear.results == [played.answers["session:close"]]


def test_answers_of_the_edge_are_described() -> None:
    """Those that need a store to be given are read from the source."""
    functions = {
        (path.stem, node.name): node
        for path in ROOT.glob("handlers/live/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    said = {**described("What a game sends"), **described("What a watcher sends")}
    for event, name in {
        "session:open": ("game", "_opened"),
        "session:resume": ("game", "_resumed"),
        "live:list": ("watch", "_listed"),
        "watch:join": ("watch", "_joined"),
    }.items():
        assert answered(functions[name]) == set(first_cells(said[event], "Answer")), event


def answered(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the keys of a function's last answer, with those of a dict spread into it."""
    last = function.body[-1]
    assert isinstance(last, ast.Return)
    assert isinstance(last.value, ast.Dict)
    spread = {
        value.id
        for key, value in zip(last.value.keys, last.value.values, strict=True)
        if key is None and isinstance(value, ast.Name)
    }
    parts = [
        literal_keys(node.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id in spread for target in node.targets)
    ]
    return literal_keys(last.value).union(*parts)


# -- docs/protocol.md: codes, verdicts, bytes


def test_the_error_codes_described_are_what_they_are() -> None:
    table = rows(section(PROTOCOL, "Errors"), "Code")
    said = {bare(row[0]): (int(row[1]), row[4]) for row in table}
    known = {code.value: (one.status, one.korean) for code, one in ERRORS.items()}
    assert len(said) > 10
    assert said.items() <= known.items()
    assert known.keys() == {code.value for code in ErrorCode}


@pytest.mark.parametrize("name", ["docs/openapi.json", "docs/asyncapi.json", "docs/errors.md"])
def test_what_is_made_of_the_tables_was_made_anew(name: str) -> None:
    assert page(name) == written(ROUTES)[name], "run `gemgem contract`"


def test_the_table_of_the_protocol_is_what_is_said_and_dispatched() -> None:
    nowhere: Any = None
    check_live((GameNamespace(nowhere, nowhere), WatchNamespace(nowhere, nowhere)))
    assert sent().keys() == {event for events in SERVER.values() for event in events}
    for event, said in ((e, said) for events in SERVER.values() for e, said in events.items()):
        if event == "feed":
            assert len(said.arguments) == len(rows(heard()[event], "Argument"))
            continue
        schema = TypeAdapter(said.arguments[0]).json_schema()
        field = {bare(row[0]): "not always" not in row[1] for row in rows(heard()[event], "Field")}
        told = {name: name in schema["required"] for name in schema["properties"]}
        if said.arguments[0] is Reason:  # `details` and `retry_ms` are any error's
            told = {name: told[name] for name in ("code", "message")}
        assert told == field, event


def test_the_table_of_the_protocol_names_the_answers() -> None:
    texts = {**described("What a game sends"), **described("What a watcher sends")}
    compared = 0
    for event, row in ((e, row) for events in CLIENT.values() for e, row in events.items()):
        if said := first_cells(texts.get(event, ""), "Answer"):
            schema = TypeAdapter(row.answer).json_schema()
            assert list(schema["properties"]) == said, event
            compared += 1
    assert compared == 8


def test_every_motion_is_described() -> None:
    said = {bare(row[0]): bare(row[1]) for row in rows(section(PROTOCOL, "Motions"), "Motion")}
    assert said == {m: motion_library().get(m).kind for m in catalogue().motions}


def test_verdicts_and_advice_are_described() -> None:
    frames = section(PROTOCOL, "The frame message")
    assert first_cells(headed(frames)["Verdicts"], "Verdict") == list(VERDICTS)
    codes = rows(heard()["advice"], "Field")[0][2]
    assert set(TICKED.findall(codes)) == ADVICE.keys()


def test_the_frame_message_is_described_byte_by_byte() -> None:
    head, record, *_ = [
        table for first, table in tables(section(PROTOCOL, "The frame message"))
        if first == "Offset"
    ]  # fmt: skip
    sizes = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
    at = 0
    for row in head:
        assert int(row[0]) == at, row
        at += sizes[row[1]]
    assert at == HDR.size
    said = {bare(row[2]): (int(row[0]), row[1]) for row in record}
    assert REC.fields is not None
    assert {name: place for name, (place, _) in said.items()} == {
        name: REC.fields[name][1] for name in REC.names or ()
    }
    for name, (_, kind) in said.items():
        assert REC[name].base.str.lstrip("<|") == kind[0] + str(int(kind[1:].split("[")[0]) // 8)


def test_the_hexdump_is_the_message_it_says() -> None:
    frames = section(PROTOCOL, "The frame message")
    dump = frames.partition("```hexdump\n")[2].partition("```")[0]
    lines = [line.split("  ") for line in dump.splitlines()]
    assert [int(offset, 16) for offset, _ in lines] == [16 * n for n in range(len(lines))]
    payload = bytes.fromhex("".join(text for _, text in lines))
    message = decode(payload, "world")
    record = message.records[0]
    assert len(message.records) == 1
    values = {
        "t0": [message.t0_us],
        "seq0": [message.seq0],
        "width": [message.width],
        "height": [message.height],
        "side": [record["side"]],
        "score": [record["score"]],
        "lm[0]": list(record["lm"][0]),
        "lm[20]": list(record["lm"][20]),
    }
    table = rows(frames, "In it")
    assert {bare(row[0]) for row in table} == values.keys()
    for name, place, said in table:
        numbers = [int(part) for part in said.split(",")]
        assert numbers == values[bare(name)], name
        first, last = (int(part) for part in (place.split("-") * 2)[:2])
        width = (last + 1 - first) // len(numbers)
        raw = [payload[n : n + width] for n in range(first, last + 1, width)]
        assert [int.from_bytes(r, "little", signed=min(numbers) < 0) for r in raw] == numbers, name


def test_the_numbers_of_the_protocol_are_those_of_the_defaults() -> None:
    settings = load_settings()
    socket, live = settings.socket, settings.live
    text = " ".join(page(PROTOCOL).split())
    for said in (
        f"every {socket.ping_interval} s from the server",
        f"no answer for {socket.ping_timeout} s",
        f"{socket.message_bytes:,} bytes; a larger one closes",
        f"At most {live.unacked_messages} messages or {live.unacked_bytes:,} bytes",
        f"in chunks of {live.chunk_ms} ms",
        f"a mark moved, at most every {live.ack_ms} ms",
        f"of a set arrive, at most every {live.score_ms} ms",
        f"takes longer than {live.close_seconds} s",
        f"behind {socket.watcher_packets} waiting packets",
        f"an HTTP body past {settings.http.body_bytes:,} bytes",
    ):
        assert said.replace(",", " ") in text.replace(",", " "), said


# -- docs/operations.md

OPERATIONS = "docs/operations.md"


def as_written(value: object) -> str:
    """Return a setting's value as its file and the page write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_is_described_with_its_default() -> None:
    defaults = tomllib.loads(DEFAULTS.read_text())
    said = {bare(row[0]): row[1] for row in rows(section(OPERATIONS, "Settings"), "Setting")}
    assert said.keys() == {f"{part}.{name}" for part in defaults for name in defaults[part]}
    for name, shown in said.items():
        part, key = name.split(".")
        assert shown == f"`{as_written(defaults[part][key])}`", name


def test_what_is_not_enforced_is_marked_so() -> None:
    """Settings that only the greeting reads, or nobody."""
    called = {
        "http": {"http", "settings"},
        "token": {"token", "settings"},
        "rate": {"settings"},
        "socket": {"socket", "limits", "settings"},
        "live": {"live", "limits", "settings"},
        "store": {"store", "settings"},
        "withdrawal": {"rules", "settings"},
        "webhook": {"webhook", "settings"},
        "outbox": {"outbox", "settings"},
        "care": {"care", "settings", "labels"},
        "grade": {"grade"},
        "account": {"account", "rules"},
        **{
            name: {name} for name in ("google", "apple", "kakao", "pwned", "twilio", "sens", "mail")
        },
    }
    read = set()
    for part in ("server", "handlers", "sessions", "jobs"):
        for path in (ROOT / part).rglob("*.py"):
            if path.name == "base.py" or {"simulation", "scoring", "synthetic"} & {*path.parts}:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute):
                    of = getattr(node.value, "attr", None) or getattr(node.value, "id", "")
                    read.add((of.lstrip("_"), node.attr))
    table = rows(section(OPERATIONS, "Settings"), "Setting")
    unread = set()
    for row in table:
        part, name = bare(row[0]).split(".")
        if not {(of, name) for of in called[part]} & read:
            unread.add(bare(row[0]))
    assert {bare(row[0]) for row in table if row[2].startswith("○")} == unread


def test_every_variable_of_the_environment_is_described() -> None:
    own = {name for name, field in Settings.model_fields.items() if not field.is_required()}
    said = first_cells(section(OPERATIONS, "Settings"), "Variable")
    assert set(said) == {f"GEMGEM_{name.upper()}" for name in own}


def test_every_metric_is_described() -> None:
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in metrics.REGISTRY.collect()
    }
    assert set(first_cells(section(OPERATIONS, "Metrics"), "Metric")) == names


def test_every_collection_is_described() -> None:
    said = first_cells(section(OPERATIONS, "What is stored where"), "Collection")
    code = "".join(p.read_text() for p in ROOT.glob("models/**/*.py"))
    named = set(re.findall(r'(?:_db|database)\["(\w+)"\]', code))
    assert "dead_letters" in named
    assert set(said) == {*COLLECTIONS.values(), *named}


def commands() -> dict[str, set[str]]:
    """Return the options of each command, without the abbreviations of help."""
    parser = argparse.ArgumentParser()
    register = parser.add_subparsers()
    for command in entry.COMMANDS:
        command.add(register)
    return {
        name: {
            action.option_strings[-1] if action.option_strings else str(action.metavar)
            for action in one._actions
            if action.dest != "help" and action.help is not argparse.SUPPRESS
        }
        for name, one in register.choices.items()
    }


def test_every_command_and_option_is_described() -> None:
    parts = headed(section(OPERATIONS, "Commands"))
    said = {TICKED.findall(heading)[0].removeprefix("gemgem "): text
            for heading, text in parts.items()}  # fmt: skip
    known = commands()
    assert said.keys() == known.keys()
    shared = set(first_cells(said["simulate"], "Option"))
    assert shared == known["simulate"]
    for name, text in said.items():
        options = set(first_cells(text, "Option"))
        missing = known[name] - options
        assert options <= known[name], name
        assert not missing or (name == "demo" and missing <= shared), (name, missing)


def test_routes_are_described() -> None:
    said = first_cells(section(OPERATIONS, "Addresses"), "Address")
    code = "".join(p.read_text() for p in [*ROOT.glob("handlers/rest/*.py"),
                                           *ROOT.glob("server/**/*.py")])  # fmt: skip
    added = set(re.findall(r'add_get\(\s*"([^"]+)"', code))
    assert set(said) - {"/socket.io/", "/v1/", "/webhooks/"} == added
    assert all(row.path.startswith(("/v1/", "/webhooks/")) for row in ROUTES)


# -- every page

RUN = re.compile(r"^(?:\w+=\$\()?gemgem ([\w-]+)([^\n)]*)", re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall(page(name)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {slug(title) for title in titles}, target


def slug(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in "-_ ")
    return kept.replace(" ", "-")


@pytest.mark.parametrize("name", PAGES)
def test_commands_shown_are_commands_there_are(name: str) -> None:
    known = commands()
    fences = "\n".join(re.findall(r"```sh\n(.*?)```", page(name), re.DOTALL))
    for command, rest in RUN.findall(fences.replace("\\\n", " ")):
        assert command in known, command
        assert set(re.findall(r"--[a-z-]+", rest)) <= known[command], (command, rest)


@pytest.mark.parametrize("name", PAGES)
def test_files_named_are_there(name: str) -> None:
    tops = {p.name for p in ROOT.iterdir() if p.is_dir()}
    for mention in TICKED.findall(page(name)):
        if re.fullmatch(r"\.?[\w.]+(?:/[\w.]+)+/?", mention) and mention.split("/")[0] in tops:
            assert (ROOT / mention).exists() or mention.startswith("web/node_modules"), mention


def test_both_readmes_show_the_same_commands() -> None:
    blocks = [
        [re.sub(r"\s*#.*", "", b) for b in re.findall(r"```sh\n(.*?)```", page(name), re.DOTALL)]
        for name in ("README.md", "README.ko.md")
    ]
    assert blocks[0]
    assert blocks[0] == blocks[1]


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_motions_said_to_work_are_those_that_are_scored(name: str) -> None:
    known = set(catalogue().motions)
    told = [
        found
        for line in page(name).splitlines()
        if line.startswith("|") and (found := set(TICKED.findall(line)) & known)
    ]
    assert told[0] == set(playable())
    assert set().union(*told[1:]) == known - told[0]


def test_the_code_shown_in_the_walkthrough_is_the_code_there_is() -> None:
    name, compared = "docs/feature-walkthrough.md", 0
    for title, text in headed(page(name), 2).items():
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            file = (ROOT / bare(title.split(": ", 1)[1])).read_text()
            indents = {line.strip(): line for line in file.splitlines()}
            for line in block.splitlines():
                assert not line or line.strip() == "..." or line.strip() in indents, line
                compared += 1
    assert compared > 15


async def test_every_loop_of_a_process_is_described(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> None:
    key = tmp_path / "dev-key.pem"
    create_dev_key(key)
    async with serving(
        settings_of(mongo_url, redis_url, mongo_database, redis_prefix, key)
    ) as served:
        run = served.app[PARTS].runner.names
    table = rows(section("docs/architecture.md", "What runs in a process"), "Loop")
    said = [name for row in table for name in row[0].split(", ")]
    assert sorted(said) == sorted(run)


def test_the_changelog_tells_of_this_version() -> None:
    assert f"## [{VERSION}]" in page("CHANGELOG.md")
