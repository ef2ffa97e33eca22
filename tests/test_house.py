"""What holds for the whole house: its names, the size of its files, and what it depends on."""

import ast
import fnmatch
import functools
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("server", "handlers", "sessions", "models", "jobs", "clients", "config")
MOST_LINES = 400
DRIVERS = {"pymongo", "motor", "gridfs"}
DRIVER_FILE = "models/db.py"

# Written apart, so that this file does not name one either.
REGISTRY_HOSTS = re.compile(
    r"(?:pypi|pythonhosted|npmjs|yarnpkg|jsr|anaconda|crates|ghcr|gcr|quay)"
    r"\.(?:org|com|io|dev)\b|pkg\.dev\b|artifactory|--(?:extra-)?index-url|--default-index"
)
URL = re.compile(r"\b(?:https?|file|git\+\w+)://|\s@\s")
REQUIREMENTS = ("base", "demo", "dev", "node")


@functools.cache
def committed() -> tuple[Path, ...]:
    """Return the files of this repository: all here that .gitignore does not leave out.

    Without git, since the checks also run where the files were merely unpacked.
    """
    ignored = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()} | {".git"}
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ignored]
        found += [
            Path(folder, name)
            for name in names
            if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
        ]
    return tuple(found)


def texts() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each committed text file."""
    for path in committed():
        content = path.read_bytes()
        if b"\0" not in content:
            yield path.relative_to(ROOT).as_posix(), content.decode()


@functools.cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Return the path and the syntax tree of each Python file."""
    return tuple((name, ast.parse(text)) for name, text in texts() if name.endswith(".py"))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_of_ours_is_the_one_that_is_imported(name: str) -> None:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    assert Path(found.origin) == ROOT / name / "__init__.py"


def test_no_installed_distribution_claims_a_name_of_ours() -> None:
    claims = importlib.metadata.packages_distributions()
    assert "aiohttp" in claims  # it does see what is installed
    taken = {name: claims[name] for name in PACKAGES if set(claims.get(name, ())) - {"gemgem"}}
    assert not taken


def test_the_files_of_the_house_are_found() -> None:
    names = {name for name, _ in texts()}
    assert {"pyproject.toml", "server/__init__.py", ".ci/run", "tests/test_house.py"} <= names


def test_no_file_names_a_package_registry() -> None:
    own = Path(__file__).relative_to(ROOT).as_posix()
    found = {
        f"{name}: {hit[0]}"
        for name, text in texts()
        if name != own and (hit := REGISTRY_HOSTS.search(text))
    }
    assert not found
    resolved = [
        name
        for name, text in texts()
        if name.endswith("package-lock.json") and '"resolved"' in text
    ]
    assert not resolved, "npm wrote addresses: is web/.npmrc in place?"


def test_no_file_of_ours_is_too_long() -> None:
    long = {
        f"{name}: {lines} lines"
        for name, text in texts()
        if name.endswith((".py", ".js", ".mjs", ".css", ".html", ".sh"))
        and not name.startswith("tests/")
        and (lines := text.count("\n")) > MOST_LINES
    }
    assert not long


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level names of all that a module imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_one_file_names_the_database_driver() -> None:
    # Tests set up and look at the database by themselves. bson is the format, not the driver.
    users = {
        name
        for name, tree in modules()
        if not name.startswith("tests/") and imported(tree) & DRIVERS
    }
    assert users <= {DRIVER_FILE}


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for name, tree in modules():
        docstring = ast.get_docstring(tree)
        if tree.body and not (docstring and docstring.splitlines()[0].endswith(".")):
            silent.append(name)
    assert not silent, "the first line of a module is one sentence"


def pins(kind: str) -> dict[str, str]:
    """Return the lines `name==version ; marker` of a locked file by name."""
    text = (ROOT / "requirements" / f"{kind}.txt").read_text()
    starts = re.findall(r"^([A-Za-z0-9][^\s=]*)==(\S+)(.*?)\\?$", text, re.MULTILINE)
    return {f"{name}{marker.strip()}": version for name, version, marker in starts}


@pytest.mark.parametrize("kind", REQUIREMENTS)
def test_every_requirement_is_pinned_and_hashed_and_has_no_address(kind: str) -> None:
    text = (ROOT / "requirements" / f"{kind}.txt").read_text()
    assert not URL.search(text)
    lines = re.sub(r"\s*#.*", "", text).replace("\\\n", " ").splitlines()
    entries = [line for line in lines if line.strip()]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_each_set_of_requirements_holds_the_one_below_at_the_same_versions() -> None:
    # scripts/setup relies on it: an environment made for the tests serves the demo as it is.
    base, demo, dev = pins("base"), pins("demo"), pins("dev")
    assert "aiohttp" in base
    assert base.items() <= demo.items() <= dev.items()


def test_every_direct_requirement_is_locked() -> None:
    for kind in REQUIREMENTS:
        text = (ROOT / "requirements" / f"{kind}.in").read_text()
        names = {
            re.sub(r"[-_.]+", "-", match[1]).lower()
            for match in re.finditer(r"^([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)
        }
        locked = {re.split(r"[^\w.-]", key)[0] for key in pins(kind)}
        assert names
        assert names <= locked, kind


def test_scripts_can_be_run() -> None:
    scripts = [path for path in committed() if path.parent == ROOT / "scripts"]
    scripts.append(ROOT / ".ci" / "run")
    assert len(scripts) > 4
    for path in scripts:
        if path.read_bytes().startswith(b"#!"):
            assert path.stat().st_mode & 0o111, f"{path.name} is not executable"
