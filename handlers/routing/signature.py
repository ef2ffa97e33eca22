"""What a handler's signature says of its route: parameters in, view out."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.alias_generators import to_camel

from handlers.routing.call import Call, PublicCall
from handlers.routing.shapes import Body, Query, View

Handler = Callable[..., Awaitable[Any]]

IN_PATH = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Header:
    """Marks a parameter that is read from a header: `Annotated[str | None, Header("ETag")]`."""

    name: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path parameter or a header of a route."""

    python_name: str
    wire_name: str
    adapter: TypeAdapter[Any]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """A handler's parameters by where they come from, and the model of its answer."""

    call: type[PublicCall]
    path: tuple[Parameter, ...]
    headers: tuple[Parameter, ...]
    query: tuple[str, type[Query]] | None
    body: tuple[str, type[Body]] | None
    raw: str | None
    """Name of the parameter that takes the body's bytes as they came."""
    answer: type[BaseModel] | None


def signature_of(handler: Handler, path: str) -> tuple[Signature, list[str]]:
    """Read a handler; return what it takes and gives, and what is wrong with it in words.

    Args:
        path: the route's template, with names in braces.
    """
    hints: dict[str, Any] = get_type_hints(handler, include_extras=True)
    names = list(inspect.signature(handler).parameters)
    in_path = IN_PATH.findall(path)
    faults = [f"the path names {{{n}}}, the handler takes none" for n in in_path if n not in names]
    call = hints.get(names[0]) if names else None
    if call not in (Call, PublicCall):
        faults.append("the first parameter of the handler is `call: Call` or `call: PublicCall`")
    found = _Found([], [], [], [], [])
    strange = [n for n in names[1:] if not _sort(found, n, hints.get(n), n in in_path)]
    faults += [f"`{n}` is no path parameter, Query, Body, Header or bytes" for n in strange]
    if len(found.bodies) + len(found.raw) > 1 or len(found.queries) > 1:
        faults.append("a handler takes one Query, and one Body or bytes")
    answer = hints.get("return", inspect.Parameter.empty)
    if answer is not NoneType and not _is(answer, View):
        faults.append("the handler returns a View, a Page of them, or None")
    if not inspect.getdoc(handler):
        faults.append("the handler has no docstring: its first line is the route's title")
    signature = Signature(
        call=call or PublicCall,
        path=tuple(found.path),
        headers=tuple(found.headers),
        query=next(iter(found.queries), None),
        body=next(iter(found.bodies), None),
        raw=next(iter(found.raw), None),
        answer=None if answer is NoneType else answer,
    )
    return signature, faults


class _Found(NamedTuple):
    path: list[Parameter]
    headers: list[Parameter]
    queries: list[tuple[str, type[Query]]]
    bodies: list[tuple[str, type[Body]]]
    raw: list[str]


def _sort(found: _Found, name: str, hint: Any, in_path: bool) -> bool:
    """Put a parameter where its annotation says it comes from; tell whether it says so."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    header = next((mark for mark in marks if isinstance(mark, Header)), None)
    if in_path:
        found.path.append(Parameter(name, to_camel(name), TypeAdapter(hint)))
    elif header is not None:
        needed = NoneType not in get_args(get_args(hint)[0])
        found.headers.append(Parameter(name, header.name, TypeAdapter(hint), needed))
    elif hint is bytes:
        found.raw.append(name)
    elif _is(hint, Query):
        found.queries.append((name, hint))
    elif _is(hint, Body):
        found.bodies.append((name, hint))
    else:
        return False
    return True


def _is(hint: Any, base: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, base)
