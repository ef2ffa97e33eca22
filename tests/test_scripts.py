"""scripts/setup on machines that lack something, played by stand-ins for the machine's programs."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("sh", "dirname", "mktemp", "rm", "cat", "cksum", "awk", "uname", "ln", "chmod", "mkdir")

# A Python that says to be new enough; `-m venv` and pip make what the script looks for.
PYTHON = """#!/bin/sh
case "$*" in
*'sys.version_info < (3, 11)'*) exit {too_old} ;;
*'import ensurepip'*) exit {no_venv} ;;
*libcurl*) exit {no_libcurl} ;;
*'print("python%d'*) echo python3.12-venv ;;
'-m venv '*) mkdir -p "$3/bin" && ln "$0" "$3/bin/python" ;;
*'pip install'*)
    ln "$(dirname "$0")/../../uv" "$(dirname "$0")/uv" ;;
--version) echo Python 3.12.0 ;;
esac
"""
UV = '#!/bin/sh\n[ "$1" = --version ] || echo "$*" >>"$UV_CALLS"\n'


class Machine:
    """A checkout with nothing but scripts and requirements, and a PATH with nothing else on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = root / "programs"
        self.checkout = root / "checkout"
        self.programs.mkdir()
        self.checkout.mkdir()
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        shutil.copytree(ROOT / "requirements", self.checkout / "requirements")
        for tool in TOOLS:
            place = shutil.which(tool)
            assert place is not None
            (self.programs / tool).symlink_to(place)
        self.add("id", "#!/bin/sh\necho 1000\n")
        self.calls = root / "calls"
        self.calls.touch()

    def add(self, name: str, script: str, folder: Path | None = None) -> None:
        path = (folder or self.programs) / name
        path.write_text(script)
        path.chmod(0o755)

    def add_python(self, *, too_old: int = 0, no_venv: int = 0, no_libcurl: int = 0) -> None:
        text = PYTHON.format(too_old=too_old, no_venv=no_venv, no_libcurl=no_libcurl)
        self.add("python3", text)
        self.add("uv", UV, self.checkout)

    def setup(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Return the exit status and the last line said."""
        done = subprocess.run(
            [str(self.checkout / "scripts" / "setup"), *arguments],
            env={"PATH": str(self.programs), "UV_CALLS": str(self.calls), **variables},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr.strip().rpartition("\n")[2]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


APT = "setup: run this, then try again: sudo apt-get install -y "


@pytest.mark.parametrize(
    ("python", "line"),
    [
        (None, "python3-venv ca-certificates libcurl4"),
        ({"too_old": 1}, "python3.11 python3.11-venv ca-certificates libcurl4"),
        ({"no_venv": 1, "no_libcurl": 1}, "python3.12-venv libcurl4"),
        ({"no_libcurl": 1}, "libcurl4"),
    ],
)
def test_a_plain_user_gets_one_line_to_run(
    machine: Machine, python: dict[str, int] | None, line: str
) -> None:
    machine.add("apt-get", "#!/bin/sh\nexit 9\n")
    if python is not None:
        machine.add_python(**python)
    assert machine.setup() == (1, APT + line)
    assert not (machine.checkout / ".venv").exists()
    # libcurl4 is the embedded MongoDB's; whoever has another needs the rest alone.
    without = (0, "setup: installing requirements/demo.txt")
    if rest := line.removesuffix("libcurl4").strip():
        without = (1, APT + rest)
    assert machine.setup(GEMGEM_MONGO_URL="mongodb://elsewhere.invalid/") == without


def test_where_there_is_no_apt_the_packages_are_named(machine: Machine) -> None:
    status, said = machine.setup("demo")
    assert status == 1
    assert said.endswith(
        "install what Debian calls python3-venv ca-certificates libcurl4, then try again"
    )


def test_root_installs_what_is_missing(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 0\n")
    machine.add_python(no_venv=1)
    asked = machine.root / "asked"
    # The installation makes the stand-in complete, as it does the real one.
    machine.add(
        "apt-get",
        f'#!/bin/sh\necho "$*" >>{asked}\n'
        f'if [ "$1" = install ]; then cp {machine.root}/whole {machine.programs}/python3; fi\n',
    )
    (machine.programs / "cp").symlink_to(str(shutil.which("cp")))
    (machine.root / "whole").write_text(PYTHON.format(too_old=0, no_venv=0, no_libcurl=0))
    assert machine.setup()[0] == 0
    assert asked.read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends python3.12-venv",
    ]


def test_root_installs_another_python_where_the_systems_own_is_old(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 0\n")
    machine.add_python(too_old=1)
    old = (machine.programs / "python3").rename(machine.root / "old")
    new = machine.root / "new"
    machine.add_python()
    (machine.programs / "python3").rename(new)
    (machine.programs / "cp").symlink_to(str(shutil.which("cp")))
    machine.add(
        "apt-get",
        f'#!/bin/sh\ncase "$*" in\n*" python3.11 "*) cp {new} {machine.programs}/python3.11 ;;\n'
        f"*python3-venv*) cp {old} {machine.programs}/python3 ;;\nesac\n",
    )
    assert machine.setup()[0] == 0
    assert installs(machine) == ["requirements/demo.txt"]


def test_a_failing_installation_shows_what_apt_said(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 0\n")
    machine.add("apt-get", "#!/bin/sh\necho no network >&2\nexit 100\n")
    assert machine.setup() == (
        1,
        "setup: apt-get could not install python3-venv ca-certificates libcurl4",
    )


def installs(machine: Machine) -> list[str]:
    """Return the requirement files installed since the last call."""
    calls = machine.calls.read_text().splitlines()
    machine.calls.write_text("")
    assert all("--require-hashes" in call for call in calls)
    return [call.split()[-1] for call in calls]


def test_a_second_run_does_nothing_and_a_change_what_it_needs(machine: Machine) -> None:
    machine.add_python()
    assert machine.setup() == (0, "setup: installing requirements/demo.txt")
    assert installs(machine) == ["requirements/demo.txt"]
    assert machine.setup() == (0, "")
    assert machine.setup("dev")[0] == 0
    assert installs(machine) == ["requirements/dev.txt"]
    assert machine.setup("demo") == (0, "")
    with (machine.checkout / "requirements/dev.txt").open("a") as changed:
        changed.write("# newer\n")
    assert machine.setup("demo") == (0, "")  # made for this very file
    assert machine.setup("dev")[0] == 0
    assert installs(machine) == ["requirements/dev.txt"]


@pytest.mark.parametrize("harm", ["no uv", "no python", "half made", "moved"])
def test_a_broken_environment_is_made_again(machine: Machine, harm: str) -> None:
    machine.add_python()
    assert machine.setup()[0] == 0
    installs(machine)
    environment = machine.checkout / ".venv"
    if harm == "no uv":
        (environment / "bin/uv").unlink()
    elif harm == "no python":
        (environment / "bin/python").unlink()
    elif harm == "half made":
        shutil.rmtree(environment)
        (environment / "bin").mkdir(parents=True)
    else:
        machine.checkout = machine.checkout.rename(machine.root / "elsewhere")
    assert machine.setup()[0] == 0
    assert installs(machine) == ["requirements/demo.txt"]
    assert machine.setup() == (0, "")


def test_a_failed_installation_is_not_taken_for_done(machine: Machine) -> None:
    machine.add_python()
    machine.add("uv", '#!/bin/sh\n[ "$1" = --version ]\n', machine.checkout)
    for _ in range(2):
        assert machine.setup() == (
            1,
            "setup: requirements/demo.txt could not be installed: see above",
        )


def test_another_word_is_refused_with_the_usage(machine: Machine) -> None:
    assert machine.setup("all") == (2, "usage: scripts/setup [demo|dev]")


def test_no_scratch_file_stays(machine: Machine) -> None:
    scratch = machine.root / "scratch"
    scratch.mkdir()
    machine.add_python()
    assert machine.setup(TMPDIR=str(scratch))[0] == 0
    assert machine.setup("all", TMPDIR=str(scratch))[0] == 2
    machine.add_python(too_old=1)
    shutil.rmtree(machine.checkout / ".venv")
    assert machine.setup(TMPDIR=str(scratch))[0] == 1
    assert not list(scratch.iterdir())
