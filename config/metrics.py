"""Every metric by name. Counters only grow; gauges are read at scrape time."""

import functools
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

CONNECTIONS = Gauge("gemgem_connections", "Open connections.", ["namespace"], registry=REGISTRY)
CONNECTS_REFUSED = Counter(
    "gemgem_connects_refused", "Connects refused.", ["namespace", "code"], registry=REGISTRY
)
EVENTS_REFUSED = Counter(
    "gemgem_events_refused", "Events refused.", ["namespace", "code"], registry=REGISTRY
)
SESSIONS = Gauge("gemgem_sessions", "Sessions this worker holds.", registry=REGISTRY)
SESSIONS_SEALED = Counter("gemgem_sessions_sealed", "Sessions sealed.", ["how"], registry=REGISTRY)
RESUMES = Counter("gemgem_resumes", "Sessions resumed.", ["outcome"], registry=REGISTRY)
MESSAGES = Counter("gemgem_messages", "Numbered messages taken.", registry=REGISTRY)
MESSAGES_REFUSED = Counter(
    "gemgem_messages_refused", "Numbered messages refused.", ["code"], registry=REGISTRY
)
GAPS = Counter("gemgem_gaps", "Holes in a session's numbers that were told.", registry=REGISTRY)
FRAMES = Counter(
    "gemgem_frames", "Frame records scored, by verdict.", ["verdict"], registry=REGISTRY
)
REPS = Counter("gemgem_reps", "Repetitions detected.", ["cls"], registry=REGISTRY)
STAGE = Counter(
    "gemgem_stage_seconds",
    "Time that messages took in each stage of their way.",
    ["stage"],
    registry=REGISTRY,
)
INBOX = Gauge("gemgem_inbox_messages", "Messages taken by the last tick.", registry=REGISTRY)
UNAPPENDED = Gauge(
    "gemgem_unappended_sessions", "Sessions that hold messages to be appended.", registry=REGISTRY
)
APPENDING = Gauge(
    "gemgem_appending_sessions", "Sessions in the append that is under way.", registry=REGISTRY
)
TICK = Histogram(
    "gemgem_tick_seconds", "Work of one tick with messages.", buckets=_SECONDS, registry=REGISTRY
)
LOOP_LAG = Gauge("gemgem_loop_lag_seconds", "Lateness of the last tick.", registry=REGISTRY)
LATENESS = Histogram(
    "gemgem_tick_late_seconds", "Lateness of every tick.", buckets=_SECONDS, registry=REGISTRY
)
APPEND = Histogram(
    "gemgem_append_seconds",
    "Round trip of one append to Redis.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
APPEND_ERRORS = Counter("gemgem_append_errors", "Appends without an answer.", registry=REGISTRY)
FLUSHED = Counter("gemgem_flushed", "Documents written to MongoDB.", registry=REGISTRY)
FLUSH_ERRORS = Counter("gemgem_flush_errors", "Flush rounds that failed.", registry=REGISTRY)
DEAD_LETTERS = Counter("gemgem_dead_letters", "Items that could not be stored.", registry=REGISTRY)
FEED_THINNED = Counter(
    "gemgem_feed_thinned", "Feed items a slow or thinned watcher did not get.", registry=REGISTRY
)
WATCHERS = Gauge(
    "gemgem_watchers", "Sessions being watched through this worker.", registry=REGISTRY
)
JOB_FAILURES = Counter(
    "gemgem_job_failures", "Background jobs that ended.", ["job"], registry=REGISTRY
)
TRANSPORT = Gauge(
    "gemgem_transport", "1 for the transport of new connections.", ["kind"], registry=REGISTRY
)
SEND_BACKLOG = Gauge(
    "gemgem_send_backlog_bytes",
    "Bytes that waited to be sent when it was last looked.",
    ["of"],
    registry=REGISTRY,
)
PLACES_ALONE = Counter(
    "gemgem_places_alone",
    "Places of connections decided by this worker's own count: Redis did not answer.",
    registry=REGISTRY,
)
LIMITED = Counter(
    "gemgem_limited", "Limits that a connection ran into.", ["limit"], registry=REGISTRY
)
REQUESTS = Counter(
    "gemgem_requests", "REST requests answered.", ["route", "status"], registry=REGISTRY
)
REQUEST = Histogram(
    "gemgem_request_seconds",
    "Time until a REST request was answered.",
    ["route"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
LOOKS = Counter(
    "gemgem_looks",
    "Looks of staff at a child's data, in the access log.",
    ["role"],
    registry=REGISTRY,
)
LOOKS_REFUSED = Counter(
    "gemgem_looks_refused", "Looks refused, as the access log took none.", registry=REGISTRY
)
ACCESS_DENIED = Counter(
    "gemgem_access_denied",
    "Children asked for without the right, by whether there is such a child.",
    ["role", "child"],
    registry=REGISTRY,
)
UPSTREAM = Counter(
    "gemgem_upstream", "Calls to outside services.", ["provider", "outcome"], registry=REGISTRY
)
UPSTREAM_SECONDS = Histogram(
    "gemgem_upstream_seconds",
    "Calls to outside services, retries included.",
    ["provider"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
UPSTREAM_OPEN = Gauge(
    "gemgem_upstream_open", "Outside services left alone for now.", ["provider"], registry=REGISTRY
)
SIGN_INS = Counter(
    "gemgem_sign_ins", "Attempts to sign in.", ["method", "outcome"], registry=REGISTRY
)
FAMILIES_REVOKED = Counter(
    "gemgem_families_revoked",
    "Sign-ins ended because a refresh token came twice.",
    registry=REGISTRY,
)
HASHES_WAITING = Gauge(
    "gemgem_hashes_waiting", "Passwords waiting to be hashed.", registry=REGISTRY
)
WITHDRAWALS = Counter(
    "gemgem_withdrawals",
    "Withdrawals asked for, undone, and carried to their end.",
    ["outcome"],
    registry=REGISTRY,
)
FAREWELLS = Counter(
    "gemgem_farewells",
    "Providers told that somebody leaves, by how it ended.",
    ["provider", "outcome"],
    registry=REGISTRY,
)
WEBHOOKS = Counter(
    "gemgem_webhooks",
    "News from providers by what became of them.",
    ["source", "outcome"],
    registry=REGISTRY,
)
GRADE_PROPOSALS = Counter(
    "gemgem_grade_proposals",
    "Grades the weekly rule proposed or changed, and what was decided on them.",
    ["outcome"],
    registry=REGISTRY,
)
MAILS = Counter("gemgem_mails", "Mails by what became of them.", ["outcome"], registry=REGISTRY)
OUTBOX = Counter(
    "gemgem_outbox",
    "What was to be told outside, by what became of it.",
    ["kind", "outcome"],
    registry=REGISTRY,
)


_stage = functools.cache(STAGE.labels)
"""To look a stage up takes longer than to count it."""


class Stopwatch:
    """Adds the time since the last lap to `STAGE`. Read once a stage of a tick, never a message."""

    def __init__(self) -> None:
        self._at = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Say what was done since the last lap."""
        now = time.perf_counter()
        _stage(stage).inc(now - self._at)
        self._at = now
