"""The station's counters and times, in Prometheus's terms; a scrape reads them from another thread.

Names follow Prometheus's naming rules (prometheus.io/docs/practices/naming): base units, ``_total`` for
counters. ``deploy/alerts.yaml`` and ``deploy/grafana-dashboard.json`` use these names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from inspector.records import ArtifactInUse, Duplicate, Inspected, Quarantined, Verdict

# From a decoded BMP (2 ms) to a file that waited out a minute's outage; finest at a station's usual times.
_STAGE_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # the setting's range, in powers of two
QUARANTINE_REASONS = (
    *("changing", "corrupt", "decoder_crash", "empty", "format_not_allowed", "multi_frame", "no_memory"),
    *("not_a_file", "not_an_image", "not_prepared", "row_refused", "too_large", "too_small", "truncated"),
    *("unreadable", "unsupported", "zero_filled"),
)
SHADOW_RESULTS = ("judged", "left_out", "failed")


class Metrics:
    """One station's metrics in their own registry.

    Args:
        artifact: judges at the start.
        monotonic: seconds; ages count from its instants.
    """

    def __init__(self, artifact: ArtifactInUse, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.pending = 0  # files, for the health page
        self._oldest: float | None = None
        self._inspected = Counter("weldnet_inspected", "Images judged", ["verdict"], registry=registry)
        self._duplicates = Counter("weldnet_duplicates", "Files delivered again", registry=registry)
        self._quarantined = Counter(
            "weldnet_quarantined", "Files that cannot be inspected", ["reason"], registry=registry
        )
        self._events = Counter("weldnet_events", "Rows of the event table", ["kind"], registry=registry)
        self._overflows = Counter(
            "weldnet_watch_overflows",
            "Times that the kernel dropped events; a scan followed at once",
            registry=registry,
        )
        self._stages = Histogram(
            "weldnet_stage_seconds",
            "An image's time in each stage; total is from its close to its commit",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        self._batches = Histogram(
            "weldnet_batch_frames", "Frames judged together", buckets=_BATCH_BUCKETS, registry=registry
        )
        self._shadow = Counter(
            "weldnet_shadow",
            "Images for the candidate: judged, left_out (station busy, or an outage), or failed",
            ["result"],
            registry=registry,
        )
        self._latest = Gauge(
            "weldnet_last_inspection_timestamp_seconds",
            "When an image was last judged; before the first one, when the station started",
            registry=registry,
        )
        self._latest.set(time.time())  # at 0 a new station would look as if it had been idle since 1970
        self._pending = Gauge("weldnet_pending_files", "Files that wait or are in work", registry=registry)
        Gauge(
            "weldnet_oldest_pending_seconds",
            "Since the file that waits longest was first seen; 0 if none waits",
            registry=registry,
        ).set_function(self.oldest_pending_s)
        self._artifact = Info("weldnet_artifact", "The artifact that judges", registry=registry)
        self._monotonic = monotonic
        for verdict in Verdict:  # a rate needs its series from the first scrape on, so they start at 0
            self._inspected.labels(verdict.value)
        for reason in QUARANTINE_REASONS:
            self._quarantined.labels(reason)
        for result in SHADOW_RESULTS:
            self._shadow.labels(result)
        self.set_artifact(artifact)

    def set_artifact(self, artifact: ArtifactInUse) -> None:
        """Name the artifact that judges from now on."""
        self._artifact.info({"name": artifact.name, "version": artifact.version, "sha256": artifact.sha256})

    def set_waiting(self, pending: int, oldest: float | None) -> None:
        """Set the number of files in the drop folder, and when (monotonic) the oldest was first seen."""
        self.pending, self._oldest = pending, oldest
        self._pending.set(pending)

    def oldest_pending_s(self) -> float:
        """Return how long the oldest file has waited; 0 if no file waits."""
        oldest = self._oldest
        return 0.0 if oldest is None else self._monotonic() - oldest

    def count_rows(self, rows: Sequence[Inspected | Duplicate | Quarantined]) -> None:
        """Count rows that have been committed."""
        for row in rows:
            if isinstance(row, Inspected):
                self._inspected.labels(row.judgement.verdict.value).inc()
                self._observe_stages(row)
            elif isinstance(row, Duplicate):
                self._duplicates.inc()
            else:
                self._quarantined.labels(row.reason).inc()

    def count_batch(self, frames: int) -> None:
        """Count a judged batch of this size."""
        self._batches.observe(frames)

    def count_event(self, kind: str) -> None:
        """Count a recorded event."""
        self._events.labels(kind).inc()
        if kind == "watch_overflow":
            self._overflows.inc()

    def count_shadow(self, result: str, images: int) -> None:
        """Count images of the candidate, by one of :data:`SHADOW_RESULTS`."""
        self._shadow.labels(result).inc(images)

    def gauge(self, name: str, text: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """Add a gauge that is read at each scrape, with one value for each value of its label."""
        gauge = Gauge(name, text, [label], registry=self.registry)
        for value, read in values.items():
            gauge.labels(value).set_function(read)

    def _observe_stages(self, row: Inspected) -> None:
        times = row.timings
        self._latest.set(row.inspected_us / 1e6)
        for stage, milliseconds in (
            ("wait", times.wait_ms),
            ("decode", times.decode_ms),
            ("infer", times.infer_ms),
            ("total", times.total_ms),
        ):
            self._stages.labels(stage).observe(milliseconds / 1000)
