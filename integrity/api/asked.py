"""What the engine's API is asked: filters of lists, and what a verb is to be called with."""

from typing import Annotated, Literal

from ninja import Field, Schema

from integrity.api.fields import INT8, Body, Keys, Label, Moment, Reason, Text, Whole
from integrity.rules.base import Severity

Sample = Annotated[Whole, Field(ge=1, le=1_000)]
SHOWN = Field(20, description="How many violations or rows to show of each rule.")


class Page(Schema):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="Entries of a page.")
    after: int | None = Field(None, ge=0, le=INT8, description="The id of the last entry that is known already.")


class HealthIn(Schema):
    """Of what."""

    app: Label | None = Field(None, description="Only of the rules and imports of this app.")


class RulesIn(Schema):
    """Which rules."""

    app: Label | None = Field(None, description="Only those of this app.")
    tag: Label | None = Field(None, description="Only those with this tag.")
    severity: Severity | None = Field(None, description="Only those that weigh so much.")


class StatementIn(Schema):
    """For what."""

    key: Text | None = Field(None, max_length=1_000, description="Only this key, such as `17` or `order=3,line=2`.")


class ViolationsIn(Page):
    """Which violations."""

    rule: Label | None = Field(None, description="Only of this rule, `app.name`.")
    app: Label | None = Field(None, description="Only of the rules of this app.")
    status: Literal["open", "resolved", "accepted"] | None = Field(None, description="Only those that stand so.")
    severity: Severity | None = Field(None, description="Only of rules that weigh so much.")
    since: Moment | None = Field(None, description="Only those that were seen at this time or later.")
    key: Text | None = Field(
        None, max_length=1_000, description="Only the one at this key, such as `17`; a key belongs to a `rule`."
    )


class RunsIn(Page):
    """Which runs."""

    verb: Literal["analyze", "repair", "verify", "undo", "enforce", "import", "consolidate", "run", "resume"] | None = (
        Field(None, description="Only of this verb.")
    )
    status: Literal["queued", "running", "clean", "violated", "partial", "failed", "refused"] | None = Field(
        None, description="Only those that stand so."
    )
    rule: Label | None = Field(None, description="Only those that had to do with this rule.")
    actor: Label | None = Field(None, description="Only of this user, or of `key NAME`.")
    since: Moment | None = Field(None, description="Only those that began at this time or later.")


class AlertsIn(Page):
    """Which messages."""

    since: Moment | None = Field(None, description="Only those of this time or later.")


class ChangesIn(Page):
    """Which changes."""

    rule: Label | None = Field(None, description="Only what was written for this rule.")


class WaitIn(Schema):
    """How long to stay."""

    wait: bool = Field(default=False, description="Do it within this request, however long it took the last time.")


class DryRunIn(Schema):
    """What to try."""

    strategy: Label | None = Field(None, description="Which repair; may be left out where the rule has one only.")


class AnalyzeIn(Body):
    """What to look at."""

    rules: list[Label] | None = Field(None, description="Rules `app.name`, or apps; left out: all.", max_length=1_000)
    tags: list[Label] | None = Field(None, description="Only rules with one of these tags.", max_length=100)
    keys: Keys | None = Field(None, description="Only these keys, of rules of one model.", examples=[[17]])
    changed: bool = Field(default=False, description="Only what has changed since the last look, of tracked rules.")
    database: Label | None = Field(None, description="Which database to look at, such as a replica.")
    sample: Sample = SHOWN


class VerifyIn(Body):
    """How to tell of it."""

    sample: Sample = SHOWN


class RepairIn(Body):
    """What to repair, how and why."""

    rules: list[Label] = Field(description="Rules, `app.name`.", min_length=1, max_length=100)
    strategy: Label | None = Field(None, description="Which repair; may be left out where a rule has one only.")
    keys: Keys | None = Field(None, description="Only these keys, of rules of one model.", examples=[[17]])
    reason: Reason = Field(description="Why, for the record.", examples=["device lost"])
    dry_run: bool = Field(default=False, description="Do everything, then roll it back.")
    max_affected: Annotated[Text, Field(max_length=20)] | None = Field(
        None, description="Opens the brake: how much of a table may be written; asks for `confirm`.", examples=["30%"]
    )
    confirm: bool = Field(
        default=False, description="Said on purpose where the brake is opened or a whole table is rebuilt."
    )
    sample: Sample = SHOWN


class UndoIn(Body):
    """What to take back, and why."""

    rule: Label | None = Field(None, description="Only what was written for this rule.")
    keys: Keys | None = Field(None, description="Only what was written for these violations of it.", examples=[[17]])
    reason: Reason = Field(description="Why, for the record.", examples=["repaired the wrong way"])
    dry_run: bool = Field(default=False, description="Do everything, then roll it back.")
    sample: Sample = SHOWN


class EnforceIn(Body):
    """What the database is to keep true, or no more."""

    rules: list[Label] = Field(description="Rules `app.name`, or apps.", min_length=1, max_length=100)
    remove: bool = Field(default=False, description="Take triggers and constraints away.")
    reason: Reason = Field(description="Why, for the record.", examples=["cleaned last week"])
    dry_run: bool = Field(default=False, description="Only tell what would be done.")
    confirm: bool = Field(
        default=False,
        description="Said on purpose where rows that break a rule now could not be updated before a repair.",
    )
    sample: Sample = SHOWN


class AcceptViolationIn(Body):
    """Why an exception is one."""

    because: Reason = Field(description="Why, for the record.", examples=["the device was lost"])
    until: Moment | None = Field(None, description="When it expires and counts again; left out: when it is revoked.")
