"""Models that only the engine's tests use: each relation, key and type that a rule may meet."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

from tests.toy.teams import League, Membership, Message, Poll, Practice, Series, Team, TeamKey, Town  # noqa: F401


class OnlyVisible(models.Manager["Account"]):
    """A default manager that hides rows, which the engine must not fall for."""

    def get_queryset(self) -> models.QuerySet[Account]:
        return super().get_queryset().filter(hidden=False)


class Branch(models.Model):
    code = models.CharField(max_length=20, unique=True)
    rate = models.DecimalField(max_digits=8, decimal_places=2, default=1)


class Tag(models.Model):
    """Points at anything by (type, id)."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.TextField()
    target = GenericForeignKey()
    weight = models.IntegerField()


class Account(models.Model):
    """A parent with totals over every kind of relation."""

    name = models.CharField(max_length=50, default="")
    hidden = models.BooleanField(default=False)
    branch = models.ForeignKey(Branch, models.PROTECT, null=True, related_name="accounts")
    limit = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    balance = models.DecimalField(max_digits=12, decimal_places=2, null=True, default=0)
    entry_count = models.IntegerField(default=0)
    highest = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    mean = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    last_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    tag_weight = models.IntegerField(default=0)
    club_points = models.IntegerField(default=0)
    branch_accounts = models.IntegerField(default=0)
    touched_at = models.DateTimeField(null=True)
    clubs: models.ManyToManyField[Any, Any] = models.ManyToManyField("Club", related_name="accounts")
    tags = GenericRelation(Tag)

    objects = OnlyVisible()


class Club(models.Model):
    points = models.IntegerField(default=0)


class Entry(models.Model):
    account = models.ForeignKey(Account, models.PROTECT, related_name="entries")
    amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    at = models.DateTimeField(null=True)
    void = models.BooleanField(default=False)


class Part(models.Model):
    """Children of a child."""

    entry = models.ForeignKey(Entry, models.CASCADE, related_name="parts")
    units = models.IntegerField(default=1)


class Hold(models.Model):
    """One to one, as an open session is."""

    account = models.OneToOneField(Account, models.CASCADE, related_name="hold")
    amount = models.DecimalField(max_digits=12, decimal_places=2, default=0)


class Note(models.Model):
    """A column that a new row must be given."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="notes")
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    text = models.CharField(max_length=20)


class Node(models.Model):
    """A self-reference."""

    parent = models.ForeignKey("self", models.PROTECT, null=True, related_name="children")
    child_count = models.IntegerField(default=0)
    own = models.IntegerField(default=0)
    total = models.IntegerField(default=0)


class Box(models.Model):
    """A uuid key, and tags that keep it as text."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    item_count = models.IntegerField(default=0)
    weight = models.FloatField(default=0)
    tag_weight = models.IntegerField(default=0)
    tags = GenericRelation(Tag)


class Item(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    box = models.ForeignKey(Box, models.CASCADE, related_name="items")
    weight = models.FloatField(default=0)


class Line(models.Model):
    """A composite key of text and number."""

    pk = models.CompositePrimaryKey("order", "number")
    order = models.CharField(max_length=20)
    number = models.CharField(max_length=20)
    quantity = models.IntegerField(default=0)
    shipped = models.IntegerField(default=0, db_default=0)


class Shipment(models.Model):
    order = models.CharField(max_length=20)
    number = models.CharField(max_length=20)
    quantity = models.IntegerField()


class Region(models.Model):
    """Referred to by a column that is not its primary key."""

    code = models.CharField(max_length=10, unique=True)
    sales = models.IntegerField(default=0)


class Sale(models.Model):
    region = models.ForeignKey(Region, models.PROTECT, to_field="code", related_name="sold")
    amount = models.IntegerField()

    class Meta:
        indexes = [models.Index(fields=["region", "amount"], name="toy_sale_region_amount")]


class Person(models.Model):
    """A parent table in multi-table inheritance."""

    name = models.CharField(max_length=50)


class Employee(Person):
    hours = models.IntegerField(default=0)


class Shift(models.Model):
    employee = models.ForeignKey(Employee, models.PROTECT, related_name="shifts")
    hours = models.IntegerField()


class Ledger(models.Model):
    """A master column and the rows that must add up to it."""

    total = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    opened_at = models.DateTimeField(null=True)


class Posting(models.Model):
    ledger = models.ForeignKey(Ledger, models.PROTECT, related_name="postings")
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    day = models.DateField(null=True)
    correction = models.BooleanField(default=False)
    note = models.CharField(max_length=20, default="posted")
    made_at = models.DateTimeField(auto_now_add=True)
    labels: models.ManyToManyField[Any, Any] = models.ManyToManyField("Label", related_name="postings")
    tags = GenericRelation(Tag)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["ledger", "day", "correction"],
                condition=Q(correction=True),
                name="toy_one_correction_a_day",
            )
        ]


class Label(models.Model):
    text = models.CharField(max_length=20, default="")


class Receipt(models.Model):
    """Goes along with its posting."""

    posting = models.ForeignKey(Posting, models.CASCADE, related_name="receipts")
    text = models.CharField(max_length=20, default="")


class Page(models.Model):
    """Goes along with its receipt, and with the posting that it may name as well."""

    receipt = models.ForeignKey(Receipt, models.CASCADE, related_name="pages")
    posting = models.ForeignKey(Posting, models.CASCADE, null=True, related_name="pages")


class Mention(models.Model):
    """Forgets its posting when that goes."""

    posting = models.ForeignKey(Posting, models.SET_NULL, null=True, related_name="mentions")


class Audit(models.Model):
    """Protects its posting."""

    posting = models.ForeignKey(Posting, models.PROTECT, related_name="audits")


class Slot(models.Model):
    """At most one to a master."""

    ledger = models.OneToOneField(Ledger, models.PROTECT, related_name="slot")
    amount = models.DecimalField(max_digits=12, decimal_places=2)


def of_type(model: type[models.Model]) -> Any:
    return ContentType.objects.get_for_model(model)


class Profile(models.Model):
    """The left one of two tables that tell the same story."""

    member = models.OneToOneField(Account, models.CASCADE, related_name="profile")
    city = models.CharField(max_length=20, default="")
    score = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    ratio = models.FloatField(default=0, db_default=0)
    level = models.IntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)


class OldProfile(models.Model):
    """The right one, with names and types of its own."""

    owner = models.OneToOneField(Account, models.CASCADE, related_name="old_profile")
    town = models.TextField(null=True)  # noqa: DJ001  (an old table is as it is)
    points = models.DecimalField(max_digits=14, decimal_places=4, null=True)
    ratio = models.FloatField(default=0, db_default=0)
    level = models.SmallIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)


class OldLine(models.Model):
    """Twin of a line, whose key it does not have as a primary key."""

    order = models.CharField(max_length=20)
    number = models.CharField(max_length=20)
    units = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["order", "number"], name="toy_one_old_line")]


from tests.toy import crews, squads  # noqa: E402, F401  (models of the same app, in a file of their own)
