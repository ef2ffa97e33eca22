"""The certificate of a run: what went wrong, what was promised, and what became of it."""

from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.version import VERSION
from server.chaos.plan import MEANING
from server.chaos.recovery import rounded
from server.chaos.run import Findings, Incident

TRUTH = ("lost", "duplicated", "altered", "out_of_order")
LATENCIES = (
    ("ack", "ack_p50_ms", "ack_p99_ms"),
    ("ack of frames", "frames_ack_p50_ms", "frames_ack_p99_ms"),
    ("feed", "feed_p50_ms", "feed_p99_ms"),
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What `gemgem chaos` ends with."""

    at: str
    """UTC, ISO 8601."""
    seed: int
    children: int
    workers: int
    seconds: float
    incidents: tuple[Incident, ...]
    findings: Findings
    report: dict[str, Any]
    """What the crowd measured."""
    restarts: int
    errors: tuple[str, ...]
    """What the children and watchers complained of; no part of the verdict."""

    @property
    def passed(self) -> bool:
        """Whether nothing acknowledged is lost, duplicated, altered or out of order."""
        return self.findings.whole

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        found = self.findings
        total = found.total
        return {
            "gemgem": VERSION,
            "at": self.at,
            "seed": self.seed,
            "children": self.children,
            "workers": self.workers,
            "seconds": round(self.seconds, 1),
            "passed": self.passed,
            "acknowledged": total.buffered,
            "stored": total.stored,
            "found": total.found,
            **{name: getattr(total, name) for name in TRUTH},
            "rescored_equal": not found.different and found.sealed > 0,
            "sessions": found.sessions,
            "sealed": found.sealed,
            "faults": [_fault(incident) for incident in self.incidents],
            "restarts": self.restarts,
            "measured": self.report,
            "faulty": {name: asdict(finding) for name, finding in found.faulty.items()},
            "different": list(found.different),
            "errors": list(self.errors),
        }

    def drawn(self) -> RenderableType:
        """Return it for a terminal of 110 columns."""
        return Group(self._faults(), self._truth(), self._measured(), self._verdict())

    def _faults(self) -> Table:
        table = Table(title=f"faults, seed {self.seed}", box=box.SIMPLE_HEAD, title_justify="left")
        for name in (
            "at s",
            "fault",
            "lasted s",
            "back p50 s",
            "max s",
            "children",
            "never",
            "slowest ack s",
        ):
            justify = "left" if name == "fault" else "right"
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # one of its literals
        table.add_column("what it is")
        for incident in self.incidents:
            line = _fault(incident)
            table.add_row(
                f"{line['at_s']:.1f}",
                line["kind"],
                f"{line['lasted_s']:.1f}",
                _number(line["recovered_p50_s"]),
                _number(line["recovered_max_s"]),
                str(line["children"]),
                _count(line["never"]),
                _number(line["slowest_ack_s"]),
                MEANING[incident.fault.kind],
            )
        return table

    def _truth(self) -> Table:
        total = self.findings.total
        table = Table(title="messages", box=box.SIMPLE_HEAD, title_justify="left")
        row: list[str] = []
        for name, value in (
            ("sent", total.sent),
            ("acknowledged", total.buffered),
            ("stored", total.stored),
            ("found", total.found),
        ):
            table.add_column(name, justify="right")
            row.append(str(value))
        for name in TRUTH:
            table.add_column(name.replace("_", " "), justify="right")
            row.append(_count(getattr(total, name)))
        table.add_column("re-scored otherwise", justify="right")
        row.append(_count(len(self.findings.different)))
        table.add_row(*row)
        return table

    def _measured(self) -> Table:
        table = Table(title="latencies, faults included", box=box.SIMPLE_HEAD, title_justify="left")
        for name in ("", "p50 ms", "p99 ms"):
            table.add_column(name, justify="right" if name else "left")
        for name, middle, high in LATENCIES:
            table.add_row(name, _number(self.report.get(middle)), _number(self.report.get(high)))
        return table

    def _verdict(self) -> Text:
        found = self.findings
        words = (
            f"{found.sealed} of {found.sessions} sessions closed with their result, "
            f"{self.report['resumes']} resumes, {self.report['resent']} messages sent again, "
            f"{self.restarts} processes restarted, {len(self.errors)} complaints. "
        )
        verdict = ("PASSED", "bold green") if self.passed else ("FAILED", "bold red")
        return Text.assemble(words, verdict)


def _fault(incident: Incident) -> dict[str, Any]:
    recovery = incident.recovery
    return {
        "kind": incident.fault.kind.value,
        "at_s": round(incident.began_s, 2),
        "lasted_s": round(incident.ended_s - incident.began_s, 2),
        "recovered_p50_s": rounded(recovery.p50_s),
        "recovered_max_s": rounded(recovery.max_s),
        "children": len(recovery.took_s),
        "never": recovery.never,
        "slowest_ack_s": rounded(recovery.slowest_s),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _count(value: int) -> str:
    return str(value) if not value else f"[bold red]{value}[/]"
