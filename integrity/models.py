"""What is remembered: runs, their results, violations and every change that a repair made."""

from __future__ import annotations

import uuid
from pathlib import PurePath

from django.db import models
from django.db.models import Q, Value

from integrity import statuses
from integrity.alerts.models import Alert, AlertDelivery, AlertState  # noqa: F401  (where Django looks for models)
from integrity.shown import show


class Run(models.Model):
    """One execution of a verb, by whom and why."""

    class Verb(models.TextChoices):
        ANALYZE = "analyze"
        REPAIR = "repair"
        VERIFY = "verify"
        UNDO = "undo"
        ENFORCE = "enforce"
        IMPORT = "import"
        CONSOLIDATE = "consolidate"
        RUN = "run"
        RESUME = "resume"

    class Asked(models.TextChoices):
        NOTHING = ""
        PAUSE = "pause"
        CANCEL = "cancel"

    verb = models.CharField(max_length=20, choices=Verb.choices)
    status = models.CharField(max_length=20, choices=statuses.RUN_CHOICES, default=statuses.RUNNING)
    actor = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    database = models.CharField(max_length=100)
    options = models.JSONField(default=dict)
    keys = models.JSONField(null=True, help_text="The keys that it was limited to; null for whole tables.")
    dry_run = models.BooleanField(default=False)
    of = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.PROTECT,
        related_name="followed_by",
        help_text="The run that this one follows: verified, undone, or the look that led to it.",
    )
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    token = models.UUIDField(default=uuid.uuid4, help_text="Changed when another process takes the run over.")
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    # The database has the defaults too: a process that was started before the migration goes on opening runs.
    asked = models.CharField(
        max_length=10,
        choices=Asked.choices,
        blank=True,
        default="",
        db_default="",
        help_text="Done before its next batch.",
    )
    asked_by = models.CharField(max_length=200, blank=True, default="", db_default="")
    shared = models.BooleanField(
        default=False, db_default=False, help_text="Worker processes share it, part by part; no process is its own."
    )
    waits_for = models.TextField(blank=True, default="", db_default="", help_text="What is in its way now.")
    waited = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), help_text="Seconds, by what it has waited for."
    )
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["verb", "-started_at"], name="integrity_run_verb_started")]
        permissions = [
            ("analyze", "Can analyze and verify"),
            ("repair", "Can repair, and try a repair"),
            ("undo", "Can undo, and try an undo"),
            ("accept", "Can accept violations, and revoke it"),
            ("enforce", "Can enforce rules in the database"),
            ("control", "Can pause, resume and cancel runs"),
            ("import_feed", "Can import feeds"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}: {self.verb}, {self.status}"


class Result(models.Model):
    """What a run found, and did, for one rule."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="results")
    rule = models.CharField(max_length=200)
    database = models.CharField(max_length=100)
    strategy = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=20, choices=statuses.RESULT_CHOICES, default=statuses.RUNNING)
    checked = models.BigIntegerField(null=True)
    violations = models.BigIntegerField(null=True, help_text="Exact, whatever the number of stored ones.")
    truncated = models.BooleanField(default=False, help_text="True when fewer violations are stored than were found.")
    changes = models.BigIntegerField(default=0)
    outcomes = models.JSONField(null=True, help_text="Rows by what became of them, such as quarantined or relinked.")
    skipped = models.BigIntegerField(default=0, help_text="Keys that moved or stayed locked and were left alone.")
    planned = models.BigIntegerField(null=True, help_text="Keys to be repaired, as counted before the first.")
    done = models.BigIntegerField(default=0, db_default=0, help_text="Of those so many have been come to.")
    changed = models.BigIntegerField(null=True, help_text="Keys that were looked at because they had changed.")
    unnoticed = models.BigIntegerField(null=True, help_text="Keys that a full look found otherwise than noted.")
    seconds = models.FloatField(null=True)
    writes = models.BooleanField(default=False, help_text="True for runs of which one at a time may work on a rule.")
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["rule", "-id"], name="integrity_result_rule")]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "database"],
                condition=Q(status=statuses.RUNNING, writes=True),
                name="integrity_one_open_run_per_rule",
            ),
            models.UniqueConstraint(fields=["run", "rule"], name="integrity_one_result_per_run_and_rule"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} in run {self.run_id}: {self.status}"


class Part(models.Model):
    """Some of the keys of a rule, in their order, that one worker at a time sees to within a run that many share.

    The last part of a run has no keys: it concludes what the others did.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField(help_text="In the order of the rules and of their keys.")
    rule = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=10, choices=[(k, k) for k in ("keys", "whole", "end")])
    after = models.JSONField(null=True, help_text="The key behind which it begins; null for the first.")
    upto = models.JSONField(null=True, help_text="The key with which it ends; null for the last.")
    keys = models.BigIntegerField(default=0, help_text="How many there were when the run was divided.")
    status = models.CharField(max_length=10, choices=statuses.PART_CHOICES, default=statuses.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How often it was begun and not left on purpose.")
    host = models.CharField(max_length=255, blank=True)
    pid = models.PositiveIntegerField(default=0)
    token = models.UUIDField(default=uuid.uuid4, help_text="Changed whenever a worker takes it.")
    begun_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    done = models.BigIntegerField(default=0, help_text="Keys that have been come to; committed with each batch.")
    changes = models.BigIntegerField(default=0)
    outcomes = models.JSONField(default=dict)
    checked = models.BigIntegerField(default=0)
    violations = models.BigIntegerField(default=0, help_text="Found, or after a repair left.")
    skipped = models.BigIntegerField(default=0)
    found = models.JSONField(default=list, help_text="Violations, until the run is concluded; reasons of a repair.")
    waits_for = models.TextField(blank=True)
    waited = models.JSONField(default=dict)
    error = models.TextField(blank=True)

    class Meta:
        # Not "run": that joins the row of the run, which a lock of the part would then take along.
        ordering = ["run_id", "number"]
        indexes = [
            models.Index(
                fields=["run"], condition=Q(status__in=[statuses.WAITING, statuses.RUNNING]), name="integrity_part_open"
            )
        ]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="integrity_one_part_per_number")]

    def __str__(self) -> str:
        return f"part {self.number} of run {self.run_id}: {self.status}"


class ImportRuns(models.Manager["ImportRun"]):
    """The runs that are imports."""

    def get_queryset(self) -> models.QuerySet[ImportRun]:
        return super().get_queryset().filter(verb=Run.Verb.IMPORT)


class ImportRun(Run):
    """An import among the models of the administration."""

    objects = ImportRuns()  # type: ignore[misc]

    class Meta:
        proxy = True
        ordering = ["-id"]
        default_permissions = ()
        verbose_name = "import"

    def __str__(self) -> str:
        return f"import {self.pk}, {self.status}"


class DeclaredRule(Result):
    """A declared rule among the models of the administration; what is listed are the rules, not these rows."""

    class Meta:
        proxy = True
        ordering = ["id"]
        default_permissions = ()
        verbose_name = "rule"


class Violation(models.Model):
    """A row, or a missing row, that breaks a rule; it keeps its record from the first time seen on."""

    class Status(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"
        ACCEPTED = "accepted"

    rule = models.CharField(max_length=200)
    database = models.CharField(max_length=100)
    key = models.JSONField()
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.OPEN)
    actual = models.JSONField(null=True)
    expected = models.JSONField(null=True)
    evidence = models.JSONField(default=dict)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, help_text="The run that saw it last.")
    accepted_by = models.CharField(max_length=200, blank=True)
    accepted_because = models.TextField(blank=True)
    accepted_until = models.DateTimeField(null=True, help_text="Empty: until it is revoked.")

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["rule", "status"], name="integrity_violation_status")]
        constraints = [
            models.UniqueConstraint(fields=["rule", "database", "key"], name="integrity_one_violation_per_key"),
            models.CheckConstraint(
                condition=~Q(status="accepted") | (~Q(accepted_by="") & ~Q(accepted_because="")),
                name="integrity_accepted_by_someone_because",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} at {show(self.key)}: {self.status}"


class Enforcement(models.Model):
    """That a rule was found to hold after its triggers had been installed; constraints tell it in the catalog."""

    rule = models.CharField(max_length=200)
    database = models.CharField(max_length=100)
    version = models.CharField(max_length=64, help_text="The hash of the triggers that were installed then.")
    validated_at = models.DateTimeField()
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "database"], name="integrity_one_enforcement_per_rule")]

    def __str__(self) -> str:
        return f"{self.rule}: validated {self.validated_at:%Y-%m-%d}"


class Note(models.Model):
    """That rows of a table have changed which may concern a tracked rule; written by triggers, taken by a check.

    row: the columns by which the keys are found; empty for the whole table.
    """

    rule = models.CharField(max_length=200)
    table = models.CharField(max_length=200)
    row = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"{self.table} {self.row or 'as a whole'} for {self.rule}"


class Sweep(models.Model):
    """The last look at everything that a tracked rule speaks about, on which checks of what has changed build."""

    rule = models.CharField(max_length=200, unique=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL)
    at = models.DateTimeField(null=True)
    triggers = models.CharField(max_length=64, blank=True, help_text="Those that have noted every change since.")
    truncated = models.BooleanField(default=False, help_text="True when not every violation was stored.")

    def __str__(self) -> str:
        return f"{self.rule}: looked at as a whole {self.at:%Y-%m-%d}" if self.at else f"{self.rule}: never"


class Change(models.Model):
    """One row written by a repair or an undo, before and after.

    Images hold every column as PostgreSQL's own text, so that a restored row is the same to the byte.
    No ``before``: the row was inserted; no ``after``: it was deleted.
    """

    # No database constraint: one check per journaled row would cost more than the row, and runs are never deleted
    # while they have changes.
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="changes", db_constraint=False)
    rule = models.CharField(max_length=200)
    table = models.CharField(max_length=200)
    key = models.JSONField()
    owner = models.JSONField(null=True, help_text="The key of the violation; empty where it is that of the row itself.")
    quarantined = models.BooleanField(null=True, help_text="The row was moved out to be kept, and can be restored.")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    undone_by = models.ForeignKey(
        Run, null=True, on_delete=models.PROTECT, related_name="undid", db_constraint=False, db_index=False
    )

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["rule", "id"], condition=Q(quarantined=True), name="integrity_change_quarantined"),
            # Of the rows that were put back alone: an index of every NULL is work for each row that is journaled.
            models.Index(fields=["undone_by"], condition=Q(undone_by__isnull=False), name="integrity_change_undone"),
        ]

    def __str__(self) -> str:
        return f"{self.table} {show(self.key)} in run {self.run_id}"


class Decision(models.Model):
    """What a run decided about one id that leads nowhere, for all rules whose ids are decided together."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="decisions")
    pool = models.CharField(max_length=200, help_text="The first of the rules that are decided together.")
    target = models.CharField(max_length=200, help_text="The model and column that the id refers to.")
    old = models.TextField()
    new = models.TextField(blank=True)
    outcome = models.CharField(max_length=20)
    by = models.CharField(max_length=200, blank=True, help_text="The step that told, or several.")
    why = models.TextField(blank=True)
    candidates = models.JSONField(default=list)
    rows = models.BigIntegerField(help_text="How many rows of all the rules had the id.")

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["target", "outcome"], name="integrity_decision_target")]
        constraints = [
            models.UniqueConstraint(fields=["run", "pool", "old"], name="integrity_one_decision_per_id"),
        ]

    def __str__(self) -> str:
        return f"{self.target} {self.old} in run {self.run_id}: {self.outcome}"


class InQuarantine(models.Manager["Quarantined"]):
    """The rows that were moved out and have not been put back."""

    def get_queryset(self) -> models.QuerySet[Quarantined]:
        kept = super().get_queryset().filter(quarantined=True, after__isnull=True, undone_by__isnull=True)
        return kept.select_related("run")


class Quarantined(Change):
    """A row in quarantine: whole, with the rule that it broke; its run says when, by whom and why."""

    objects = InQuarantine()  # type: ignore[misc]

    class Meta:
        proxy = True
        ordering = ["id"]
        verbose_name = "row in quarantine"
        verbose_name_plural = "rows in quarantine"
        default_permissions = ("view",)
        permissions = [("restore_quarantined", "Can restore rows from quarantine")]

    def __str__(self) -> str:
        return f"{self.table} {', '.join(f'{column} {part}' for column, part in self.key.items())}"


class RejectedRow(models.Model):
    """What was wrong with one field of a row that an import left out, or with the row where ``field`` is empty."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="rejected_rows")
    feed = models.CharField(max_length=200)
    file = models.TextField()
    row = models.BigIntegerField(help_text="Which row of the file it is, from 1 on; several may stand on one line.")
    line = models.BigIntegerField(help_text="On which the row begins; 0 for one that the feed does not have.")
    field = models.CharField(max_length=500, blank=True)
    value = models.TextField(null=True)  # noqa: DJ001  (null: the field was not there, or was null)
    reason = models.TextField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{PurePath(self.file).name}, line {self.line}: {self.reason}"


class Snapshot(models.Model):
    """What an import found before it wrote to a table: its size, and how many rows of others refer to it."""

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="snapshots")
    table = models.CharField(max_length=200)
    rows = models.BigIntegerField(help_text="Before the import.")
    rows_after = models.BigIntegerField()
    references = models.JSONField(help_text="For each referring table: rows that refer, rows that lead nowhere.")
    digest = models.CharField(max_length=100, help_text="Of the primary and natural keys as the import left them.")
    keys = models.BigIntegerField(null=True, help_text="Rows of which the key is kept; null where none is declared.")
    taken_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "table"], name="integrity_one_snapshot_per_import")]

    def __str__(self) -> str:
        return f"{self.table} in run {self.run_id}: {self.rows} rows"


class Severed(models.Model):
    """Rows of a table that somebody deleted, or gave another key, while others referred to them."""

    table = models.CharField(max_length=200)
    event = models.CharField(max_length=20)
    keys = models.JSONField(help_text="Of the first 1,000 rows that were referred to, as text.")
    rows = models.BigIntegerField(help_text="How many rows were referred to.")
    dangling = models.JSONField(help_text="Rows left without what they refer to, by table and column.")
    session_user = models.CharField(max_length=200)
    role = models.CharField(max_length=200)
    application_name = models.CharField(max_length=200)
    client = models.CharField(max_length=100, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "severed references"

    def __str__(self) -> str:
        return f"{self.event} of {self.rows} rows of {self.table} by {self.session_user}"


class ApiKey(models.Model):
    """What opens the engine's API to a program, for as much as its scopes say. Made and revoked by ``apikeys``.

    The key is random and long, so a fast hash keeps it as well as a slow one would; its first part finds the row.
    """

    name = models.CharField(max_length=100, help_text="Who uses the key; runs tell of it as their actor.")
    prefix = models.CharField(max_length=16, unique=True, editable=False, help_text="How the key begins.")
    hash = models.CharField(
        max_length=64,
        editable=False,
        help_text="SHA-256 of the key, in hex. The key itself is shown once and stored nowhere.",
    )
    scopes = models.JSONField(default=list, help_text="What the key may do.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=200)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: when it is revoked.")
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"


class KeptAnswer(models.Model):
    """The first answer to a request of the API that came with an Idempotency-Key, kept for a day.

    Whoever asks chooses the keys, so a key is one only for an actor. Without a status it is not answered yet.
    """

    actor = models.CharField(max_length=200)
    key = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=64, help_text="SHA-256 of the request, in hex: another is a conflict.")
    at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    location = models.CharField(max_length=500, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["actor", "key"], name="integrity_one_answer_per_key")]

    def __str__(self) -> str:
        return f"{self.key} of {self.actor}"
