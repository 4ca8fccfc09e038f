"""A job as the service tells of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.client.errors import JobFailedError

if TYPE_CHECKING:
    from admin_core.race_report import RaceReport
    from admin_core.report import Report
    from admin_core.watched_run import WatchedRunReport

FINISHED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """A diagnosis, a race, a pushed report or a watched run, as it was when it was asked for."""

    json: dict[str, Any]
    """All that the service tells of it, as it tells it; of a list, without spec and report."""

    @property
    def id(self) -> str:
        return str(self.json["id"])

    @property
    def kind(self) -> str:
        """``diagnosis``, ``race``, ``report`` or ``run``."""
        return str(self.json["kind"])

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        return str(self.json["state"])

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def outcome(self) -> str | None:
        """Of a diagnosis's verdict, once there is one: ``stable``, ``at_risk`` or ``unstable``."""
        found: str | None = self.json.get("outcome")
        return found

    @property
    def stage(self) -> str | None:
        """What is being done."""
        found: str | None = self.json["progress"]["stage"]
        return found

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        return float(self.json["progress"]["share"])

    @property
    def seconds_left(self) -> float | None:
        """An estimate; None while there is none."""
        found: float | None = self.json["progress"].get("seconds_left")
        return found

    @property
    def problem(self) -> dict[str, Any] | None:
        """Why it failed, as a problem document."""
        found: dict[str, Any] | None = self.json.get("problem")
        return found

    @property
    def links(self) -> dict[str, str]:
        """Paths on the service: `self`, `events` and others."""
        found: dict[str, str] = self.json["links"]
        return found

    @property
    def report(self) -> "Report | RaceReport | WatchedRunReport | None":
        """What came of it, if it has succeeded; the raw one is ``json["report"]``.

        Raises:
            ValidationError: the report is of another version of Trimtab.
        """
        body = self.json.get("report")
        if body is None:
            return None
        # Here, as reading a report takes longer to load than asking for it.
        from admin_core.race_report import RaceReport
        from admin_core.report import Report
        from admin_core.watched_run import WatchedRunReport

        match self.kind:
            case "race":
                return RaceReport.model_validate(body)
            case "run":
                return WatchedRunReport.model_validate(body)
        return Report.model_validate(body)

    def result(self) -> "Report | RaceReport | WatchedRunReport":
        """The report.

        Raises:
            JobFailedError: there is none, and will be none.
        """
        found = self.report
        if found is None:
            raise JobFailedError(self)
        return found
