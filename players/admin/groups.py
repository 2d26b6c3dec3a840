"""Groups as the tree that they are, with what their members add up to."""

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import BigIntegerField, Count, F, Func, IntegerField, QuerySet, Value
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report
from players.admin.base import distance
from players.admin.repairs import Fact, Totalled, adds_up
from players.exceptions import PlayersError
from players.mileage import GROUP_ADDS_UP
from players.models import Group
from players.outline import outline
from players.placing import place_group
from players.tree import subtree_riders, subtree_totals

NO_CYCLE = "group_tree_has_no_cycle"
DEEPEST = 8
"""Deeper groups are indented as much as this."""


class Tree(ChangeList):
    """The list in the order of the tree, unless a column is chosen to sort by; always the same number of statements."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> "QuerySet[Any]":
        queryset = super().get_queryset(request, exclude_parameters)
        self.lines = outline()
        if self.params.get(ORDER_VAR) is None:
            in_order = Value(list(self.lines), ArrayField(BigIntegerField()))
            queryset = queryset.order_by(
                Func(in_order, F("pk"), function="array_position", output_field=IntegerField())
            )
        return queryset

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        riders, totals = subtree_riders(), {row["key"]: row["value"] for row in subtree_totals()}
        in_order = self.params.get(ORDER_VAR) is None
        for group in self.result_list:
            group.depth = self.lines[group.pk].depth if in_order and group.pk in self.lines else 0
            group.riders = riders.get(group.pk, 0)
            group.off_by = group.distance_total - totals.get(group.pk, Decimal(0))


class GroupForm(ModelForm):  # type: ignore[type-arg]
    """A move that the database refused is said beside the parent."""

    refused = ""

    class Meta:
        model = Group
        fields = ["name", "kind", "parent", "is_visible"]

    def clean(self) -> dict[str, Any]:
        if self.refused:
            raise ValidationError({"parent": self.refused})
        return super().clean() or {}


@admin.register(Group)
class GroupAdmin(Totalled):
    """`distance_total` is derived: it follows the members, and a repair recomputes it."""

    form = GroupForm
    fields = ["name", "kind", "parent", "is_visible", "total", "members", "verdict"]
    readonly_fields = ["total", "members", "verdict"]
    autocomplete_fields = ["parent"]
    list_display = ["in_tree", "kind", "total", "adds_up", "members", "riders", "is_visible"]
    list_filter = ["kind", "is_visible"]
    search_fields = ["name"]
    ordering = ["name"]
    list_per_page = 200
    rules = [GROUP_ADDS_UP]
    strategies = {"recompute": "Set the total to what the players below add up to."}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Tree

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Group]":
        queryset: QuerySet[Group] = super().get_queryset(request).annotate(own_members=Count("memberships"))
        return queryset

    @admin.display(description="group", ordering="name")
    def in_tree(self, group: Any) -> SafeString:
        """The name, as far in as the group is deep."""
        return format_html('<span class="tree tree-{}">{}</span>', min(group.depth, DEEPEST), group.name)

    @admin.display(description="total", ordering="distance_total")
    def total(self, group: Group) -> SafeString:
        return distance(group.distance_total)

    @admin.display(description="adds up")
    def adds_up(self, group: Any) -> SafeString:
        """Whether the stored total is that of the players below."""
        return adds_up(group.off_by)

    @admin.display(description="members", ordering="own_members")
    def members(self, group: Any) -> int:
        """Players in the group itself."""
        return int(group.own_members)

    @admin.display(description="riders below")
    def riders(self, group: Any) -> SafeString:
        """Distinct players of the subtree, and the way to them."""
        link = f"{reverse('admin:players_player_changelist')}?in={group.pk}"
        return format_html('<a href="{}">{}</a>', link, group.riders)

    # Writing

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        place_group(obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.refused = getattr(request, "refused_parent", "")
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """A cycle is refused when the move commits, after the form was found valid: show the form again and say so."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (PlayersError, IntegrityError) as error:
            if isinstance(error, IntegrityError) and NO_CYCLE not in str(error):
                raise
            request.refused_parent = str(error).partition("\n")[0]  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    # The check page

    def facts(self, obj: Group) -> list[Fact]:
        true = next((row["value"] for row in subtree_totals().filter(pk=obj.pk)), Decimal(0))
        return [Fact("Stored total", obj.distance_total), Fact("Its players add up to", true)]

    def carry_out(self, obj: Group, strategy: str, **options: Any) -> Report:
        return repair([(registry.get(GROUP_ADDS_UP), strategy)], keys=[(obj.pk,)], **options)
