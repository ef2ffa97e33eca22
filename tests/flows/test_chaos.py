"""The short plan of faults against servers and workers of its own, and its certificate."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from server.__main__ import main
from server.app import ROOT
from server.chaos.plan import SHORT, Kind

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers share a port on Linux")


@pytest.mark.timeout(150)
async def test_the_short_plan_loses_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report, log = tmp_path / "certificate.json", tmp_path / "log"
    ours = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "chaos", "--plan", "short", "--children", "4"),
        *("--watchers", "1", "--report", str(report), "--log", str(log)),
        cwd=ROOT,
    )
    status = await ours.wait()
    out = capfd.readouterr()
    assert status == 0, f"{out.out}\n{out.err}\n{log.read_text()[-4000:]}"
    told = json.loads(report.read_text())
    assert "PASSED" in out.out
    assert [fault["kind"] for fault in told["faults"]] == [f.kind.value for f in SHORT.faults]
    assert told["lost"] == told["duplicated"] == told["altered"] == told["out_of_order"] == 0
    assert told["rescored_equal"]
    assert told["restarts"] == 2
    assert told["acknowledged"] > 500
    assert told["sealed"] == told["sessions"] == 4
    assert told["errors"] == []
    assert told["measured"]["resumes"] >= 1
    assert all(fault["never"] == 0 for fault in told["faults"])


def test_a_plan_can_be_read_written_and_changed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["chaos", "--show-plan", "--seed", "7", "--minutes", "3"]) == 0
    said = capfd.readouterr().out
    plan = tmp_path / "plan.json"
    plan.write_text(said)
    assert len({fault["kind"] for fault in json.loads(said)["faults"]}) == len(Kind)
    assert main(["chaos", "--show-plan", "--plan", str(plan)]) == 0
    assert capfd.readouterr().out == said
    plan.write_text(said.replace("redis kill", "moon falls"))
    assert main(["chaos", "--plan", str(plan)]) == 2
    assert "'moon falls' is not a valid Kind" in capfd.readouterr().err
    assert main(["chaos", "--plan", str(tmp_path / "none")]) == 2
    assert "No such file" in capfd.readouterr().err
