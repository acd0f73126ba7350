"""What is broken just now, as `/readyz` and the figures tell it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Look = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class ReadinessReason:
    """Something that is broken. `code` is stable; `blocks`: no job can be done as long as it is so."""

    code: str
    detail: str
    blocks: bool

    def record(self) -> dict[str, object]:
        """The reason as `/readyz` tells it to anybody: it names no stream and no folder."""
        return {"code": self.code, "detail": self.detail, "blocks": self.blocks}


class Readiness(Collector):
    """Who is asked what is broken, each time that somebody wants to know. A collector of `gateway_broken`."""

    def __init__(self) -> None:
        self._looks: dict[str, tuple[Look, bool]] = {}

    def add(self, code: str, look: Look, *, blocks: bool = True) -> None:
        """`look` gives a sentence for a person while something is broken, and None otherwise. It must not block."""
        self._looks[code] = (look, blocks)

    def reasons(self) -> list[ReadinessReason]:
        """What is broken now."""
        asked = [(code, look(), blocks) for code, (look, blocks) in self._looks.items()]
        return [ReadinessReason(code, detail, blocks) for code, detail, blocks in asked if detail is not None]

    def collect(self) -> Iterator[Metric]:
        broken = {reason.code for reason in self.reasons()}
        gauge = GaugeMetricFamily("gateway_broken", "Whether it is broken, as /readyz tells.", labels=("what",))
        for code in self._looks:
            gauge.add_metric((code,), float(code in broken))
        yield gauge
