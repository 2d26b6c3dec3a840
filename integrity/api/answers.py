"""What the engine's API answers: the objects that the command prints with ``--format json``."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from integrity.api.fields import Told

Status = Literal["running", "clean", "violated", "partial", "failed", "refused", "retired", "queued"]
KeyOut = dict[str, Any]
Verb = Literal["analyze", "repair", "verify", "undo", "enforce", "import", "consolidate"]


class FindingOut(Told):
    """One row, or missing row, that breaks a rule."""

    key: KeyOut = Field(description="By field.", examples=[{"id": 17}])
    actual: Any = Field(description="What is stored; several values stand by name. Decimals are text.")
    expected: Any = Field(description="What should be.")
    evidence: dict[str, Any] = Field(description="What else tells of it, by name.")


class PlannedChangeOut(Told):
    """A row that was written, or would be."""

    table: str
    op: Literal["insert", "update", "delete"]
    row: KeyOut | None = Field(description="The primary key of the row; null for one that has none yet.")
    old: dict[str, Any]
    new: dict[str, Any]
    evidence: dict[str, Any]


class ResultOut(Told):
    """What was found, and done, for one rule."""

    rule: str = Field(examples=["players.mileage_adds_up"])
    status: Status | None
    strategy: str | None = None
    checked: int | None = Field(description="Rows that were looked at; null where nobody could look.")
    violations: int | None = Field(description="Exact, whatever the length of the sample.")
    seconds: float | None
    sample: list[FindingOut] = Field(description="The first violations.")
    changes: int = Field(0, description="Rows that were written, or in a dry run would be.")
    planned: list[PlannedChangeOut] = Field(default_factory=list, description="The first of those rows.")
    skipped: int = Field(0, description="Keys that moved or stayed locked and were left alone.")
    reasons: list[str] = Field(default_factory=list, description="Why, of the first of them.")
    conflicts: list[dict[str, Any]] = Field(default_factory=list, description="Rows that an undo left alone, and why.")
    brake: str | None = Field(None, description="In a dry run: that the brake would stop this, and how to open it.")
    error: str | None = Field(None, description="Why it was not checked, or not finished.")


class ReportOut(Told):
    """The answer of one run, in the words of the command's JSON."""

    run: int | None = Field(description="The number of the run.", examples=[7])
    verb: str
    status: Status = Field(
        description=(
            "`clean`: everything asked for was looked at, and holds. `violated`: violations, or rows that a dry run"
            " would change. `partial`, `failed`, `refused`: something was not checked or finished, `error` says why."
        )
    )
    dry_run: bool
    resumed: bool = Field(description="True where it went on with the run of a process that died.")
    rules: list[ResultOut]
    changes: int = Field(description="Rows written, or in a dry run those that would be.")


class RuleOut(Told):
    """A declared truth."""

    rule: str = Field(examples=["players.mileage_adds_up"])
    kind: str = Field(examples=["derived"])
    severity: Literal["error", "warning", "info"]
    model: str
    tags: list[str]
    owner: str
    because: str = Field(description="Why it holds.")
    repairs: list[str] = Field(description="The names of the strategies that cure it.")
    enforcement: str | None = Field(description="missing, guarded, enforced, outdated or disabled; null: not declared.")
    tracking: str | None = Field(description="Whether triggers note what changes; null: not declared.")
    every: str | None = Field(description="When it is looked at: a duration or a cron expression.")
    sweep: str | None = Field(description="When everything is, of a rule of which only changes are looked at else.")
    next: datetime | None = Field(description="When it is looked at next.")
    automatic: dict[str, Any] | None = Field(description="The repair that is carried out by itself, and its limit.")


class RulesOut(Told):
    """The declared rules, in the words of the command's JSON."""

    rules: list[RuleOut]


class StrategyOut(Told):
    """A way to cure violations of a rule."""

    strategy: str
    does: str = Field(examples=["set the stored value to the expected one"])
    writes: list[str] = Field(description="The tables that it may write.")
    whole_table: bool = Field(description="True where it makes a table anew, for which `confirm` is asked.")


class RuleInFullOut(RuleOut):
    """A declared truth, and how it stands by the last look at it."""

    declaration: dict[str, str] = Field(description="What is declared, by argument, as text.")
    strategies: list[StrategyOut]
    why: str | None = Field(description="Why it is not enforced, where the word does not say it.")
    last: ResultOut | None = Field(description="What the last look at all of it found; null where there was none.")
    last_looked: datetime | None
    open: int = Field(description="Stored violations that are open.")
    accepted: int = Field(description="Stored violations that somebody has accepted.")


class StatementOut(Told):
    """The SQL that finds what breaks a rule."""

    rule: str
    database: str
    sql: str


Standing = Literal["healthy", "degraded", "not checked"]
Score = Field(description="0 to 100, see `formula`; null where nothing that weighs was looked at.")


class CheckOut(Told):
    """One thing that is looked at."""

    what: str = Field(examples=["players.mileage_adds_up"])
    severity: Literal["error", "warning", "info"]
    status: Standing
    found: int | None = Field(description="How many are wrong; null where nobody looked, or not in time.")
    of: int | None = Field(description="Of how many.")
    trend: list[int] = Field(description="What earlier looks found, the oldest first.")
    note: str
    app: str | None
    rule: str | None = Field(description="Where it is about one rule.")
    looked: datetime | None
    last_sweep: datetime | None = Field(description="When the last look at everything began.")
    forecast: dict[str, Any] | None = Field(description="When the rule's bound will be passed.")


class AppHealthOut(Told):
    """What the checks of one app come to."""

    app: str
    health: Standing
    score: float | None = Score
    violations: dict[str, int | None] = Field(description="By severity; null where something was not checked.")
    last_sweep: datetime | None
    enforced: dict[str, int | None] = Field(description="Rules that the database keeps true: installed of declared.")


class HealthOut(Told):
    """Health, in the words of the command's JSON."""

    status: Status
    health: Standing
    score: float | None = Score
    formula: str
    last_sweep: datetime | None = Field(description="Since then nothing has gone unseen.")
    apps: list[AppHealthOut]
    checks: list[CheckOut]


class ViolationOut(FindingOut):
    """A violation that is kept, from the first time it was seen on."""

    id: int
    rule: str
    severity: Literal["error", "warning", "info"] | None = Field(description="null: the rule is declared no more.")
    database: str
    status: Literal["open", "resolved", "accepted"]
    first_seen: datetime
    last_seen: datetime
    resolved_at: datetime | None
    run: int | None = Field(description="The run that saw it last.")
    accepted_by: str | None
    accepted_because: str | None
    accepted_until: datetime | None = Field(description="null: until it is revoked.")


class ViolationsOut(Told):
    """A page of violations, by id."""

    violations: list[ViolationOut]
    next: str | None = Field(description="Where the next page is; null on the last one.")


class ViolationInFullOut(ViolationOut):
    """A violation with all that helps to decide about it."""

    because: str | None = Field(description="Why the rule holds.")
    sql: str | None = Field(description="The SQL that finds it; null where the rule is declared no more.")
    strategies: list[StrategyOut] = Field(description="What could cure it; `dry-run` tells what each would write.")


class RunOut(Told):
    """A run, in the words of the command's JSON."""

    run: int
    verb: str
    status: Status
    dry_run: bool
    rules: list[str]
    violations: int
    changes: int
    outcomes: dict[str, int]
    of: int | None = Field(description="The run that was verified or undone.")
    actor: str
    reason: str
    started_at: datetime
    finished_at: datetime | None
    asked: str | None = Field(description="pause or cancel, which is done before the next batch.")
    asked_by: str | None
    waits_for: str | None = Field(description="What is in its way now.")
    waited: dict[str, float]
    error: str


class RunsOut(Told):
    """A page of runs, the latest first."""

    runs: list[RunOut]
    next: str | None = Field(description="Where the next page is; null on the last one.")


class RunResultOut(Told):
    """What a run found, and did, for one rule."""

    rule: str
    status: Status
    strategy: str | None
    checked: int | None
    violations: int | None
    truncated: bool = Field(description="True when fewer violations are stored than were found.")
    changes: int
    outcomes: dict[str, int]
    skipped: int
    seconds: float | None
    error: str | None


class ProgressOut(Told):
    """How far a run is."""

    unit: str = Field(description="keys, rows or rules.")
    done: int
    total: int | None = Field(description="null where nobody knows.")
    share: float | None = Field(description="From 0 to 1.")
    rate: float | None = Field(description="Of them in a second; null before anything is done.")
    remaining: float | None = Field(description="Seconds; null where nobody can tell.")
    parts: dict[str, int] = Field(description="Parts by status, of a run that workers share.")
    workers: list[str] = Field(description="Who is at work on it now.")
    waits_for: str


class RunInFullOut(RunOut):
    """A run with its results."""

    results: list[RunResultOut]
    progress: ProgressOut


class JournaledOut(Told):
    """One row that a run wrote: every column before and after, as PostgreSQL's own text."""

    id: int
    rule: str
    table: str
    op: Literal["insert", "update", "delete"]
    key: KeyOut
    owner: KeyOut | None = Field(description="The key of the violation; null where it is that of the row itself.")
    before: dict[str, Any] | None = Field(description="null: the row was inserted.")
    after: dict[str, Any] | None = Field(description="null: the row was deleted.")
    undone_by: int | None = Field(description="The run that took it back.")


class ChangesOut(Told):
    """A page of the rows that a run wrote, in the order in which it did."""

    changes: list[JournaledOut]
    next: str | None = Field(description="Where the next page is; null on the last one.")


class ConditionOut(Told):
    """Something that is wrong now."""

    rule: str
    database: str
    what: str
    since: datetime
    run: int | None = Field(description="The run that found it; null for a look that did not come.")


class DeliveryOut(Told):
    """A message on its way to one channel."""

    id: str
    channel: str
    status: str
    attempts: int
    next_attempt_at: datetime | None
    sent_at: datetime | None
    error: str | None = Field(description="Why the last attempt failed.")


class AlertOut(Told):
    """A message about what changed."""

    alert: int
    at: datetime
    run: int | None
    events: list[dict[str, Any]] = Field(description="What changed, each with a `summary` for people.")
    deliveries: list[DeliveryOut]


class AlertsOut(Told):
    """What is wrong now, and a page of the messages about it, the latest first."""

    now: list[ConditionOut]
    alerts: list[AlertOut]
    given_up: int = Field(description="Deliveries that wait for a person.")
    next: str | None = Field(description="Where the next page is; null on the last one.")
