"""Players: who they are by hand, how far they rode by verbs alone."""

from decimal import Decimal
from itertools import islice
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Prefetch, QuerySet, Sum
from django.forms import ModelForm, ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from config.administration.repairs import findings
from integrity.reports import Report
from players.admin.base import distance
from players.admin.repairs import Fact, Totalled, adds_up
from players.corrections import correct_master
from players.exceptions import PlayersError
from players.mileage import ADDS_UP, Selection, difference, fix_mileage
from players.models import MAX_KM, Group, HourlyMetric, Membership, OpenSession, Player
from players.outline import outline
from players.placing import place_player, remove_player
from players.tree import descendants

GROUPS_SHOWN = 3
GROUPS_LISTED = 200
"""Groups to filter by; the others are a click away in the list of groups."""
CORRECTIONS_SHOWN = 10
CORRECT = "players.add_mastercorrection"


class InGroup(admin.SimpleListFilter):
    """Players of a group and of all groups below it."""

    title = "group"
    parameter_name = "in"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        lines = islice(outline().values(), GROUPS_LISTED)
        return [(str(line.id), "\u2003" * line.depth + line.name) for line in lines]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Player]") -> "QuerySet[Player]":
        chosen = self.value() or ""
        if not chosen.isdecimal():
            return queryset
        inside = Membership.objects.filter(player=OuterRef("pk"), group__in=descendants(int(chosen)))
        return queryset.filter(Exists(inside))


class AddsUp(admin.SimpleListFilter):
    """Players whose history and open session are not their master; the rule looks at all of them when it is chosen."""

    title = "adds up"
    parameter_name = "adds-up"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "No")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Player]") -> "QuerySet[Player]":
        if self.value() != "no":
            return queryset
        return queryset.filter(pk__in=[finding.key[0] for finding in findings(ADDS_UP)])


class Checked(ChangeList):
    """A page of players, each with what it is off by: one statement for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        found = findings(ADDS_UP, [(player.pk,) for player in self.result_list])
        off_by = {finding.key[0]: difference(finding) for finding in found}
        for player in self.result_list:
            player.off_by = off_by.get(player.pk, Decimal(0))


class RidesNow(admin.SimpleListFilter):
    """Players with an open session, or without."""

    title = "rides now"
    parameter_name = "rides"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Player]") -> "QuerySet[Player]":
        rides = Exists(OpenSession.objects.filter(player=OuterRef("pk")))
        match self.value():
            case "yes":
                return queryset.filter(rides)
            case "no":
                return queryset.filter(~rides)
        return queryset


class PlayerForm(ModelForm):  # type: ignore[type-arg]
    """With the groups, which Django's admin would not edit through a model of our own."""

    member_of = ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        help_text="The totals of the groups follow: the player's distance leaves the old ones and comes to the new.",
    )

    class Meta:
        model = Player
        fields = ["name", "id_tag", "is_visible", "collects"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "member_of" in self.fields:
            members = Membership.objects.filter(player=self.instance)
            self.initial["member_of"] = list(members.values_list("group_id", flat=True))


class Correction(forms.Form):
    """A new total. `seen` is the total that was on the page: the difference counts, so a ride meanwhile stays in."""

    total = forms.DecimalField(
        label="New total in km",
        min_value=Decimal(0),
        max_value=MAX_KM,
        max_digits=15,
        decimal_places=5,
        widget=forms.NumberInput({"step": "any", "inputmode": "decimal"}),
    )
    seen = forms.DecimalField(max_digits=15, decimal_places=5, widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=1000,
        widget=forms.Textarea({"rows": 3}),
        error_messages={"required": "Say why: the correction is kept with its reason."},
    )


@admin.register(Player)
class PlayerAdmin(Totalled):
    """`distance_total` is the master: it is not edited here, but corrected with a reason, or left to the bikes."""

    form = PlayerForm
    fieldsets = [
        (None, {"fields": ["name", "id_tag", "member_of", "is_visible", "collects"]}),
        ("Kilometres", {"fields": ["total", "verdict", "last_active"]}),
    ]
    readonly_fields = ["total", "verdict", "last_active"]
    list_display = ["name", "tag", "total", "adds_up", "in_groups", "seen", "is_visible", "collects"]
    list_filter = [AddsUp, InGroup, RidesNow, "is_visible", "collects"]
    search_fields = ["name", "id_tag"]
    ordering = ["name", "pk"]
    actions = None
    rules = [ADDS_UP]
    strategies = {
        "delete_extra_metrics": "Remove what history has too much, most suspicious first. The master stays.",
        "recalculate_from_player": "The same; and where history has too little, add one marked row. The master stays.",
    }

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Player]":
        groups = Prefetch("groups", Group.objects.order_by("name").only("name"))
        queryset: QuerySet[Player] = super().get_queryset(request).prefetch_related(groups)
        return queryset

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "member_of" in form.base_fields:
            # The widget asks the server as somebody types, so that thousands of groups are no thousand options.
            chosen: Any = form.base_fields["member_of"]
            chosen.widget = AutocompleteSelectMultiple(Player._meta.get_field("groups"), self.admin_site)
            chosen.widget.choices = chosen.choices
        return form

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Checked

    @admin.display(description="ID tag", ordering="id_tag")
    def tag(self, player: Player) -> SafeString:
        return format_html('<span class="nowrap">{}</span>', player.id_tag)

    @admin.display(description="last active", ordering="last_active")
    def seen(self, player: Player) -> SafeString | str:
        if player.last_active is None:
            return "-"
        return format_html(
            '<span class="nowrap">{}</span>', date_format(localtime(player.last_active), "DATETIME_FORMAT")
        )

    @admin.display(description="adds up")
    def adds_up(self, player: Any) -> SafeString:
        """Whether history and open session are the master."""
        return adds_up(player.off_by)

    @admin.display(description="total", ordering="distance_total")
    def total(self, player: Player) -> SafeString:
        return distance(player.distance_total)

    @admin.display(description="groups")
    def in_groups(self, player: Player) -> str:
        names = [group.name for group in player.groups.all()]
        more = f" and {len(names) - GROUPS_SHOWN} more" if len(names) > GROUPS_SHOWN else ""
        return ", ".join(names[:GROUPS_SHOWN]) + more if names else "-"

    # Writing

    def save_model(self, request: HttpRequest, obj: Player, form: Any, change: bool) -> None:
        place_player(obj, [group.pk for group in form.cleaned_data.get("member_of", ())])

    def delete_model(self, request: HttpRequest, obj: Player) -> None:
        remove_player(obj)

    # The check page

    def facts(self, obj: Player) -> list[Fact]:
        history = HourlyMetric.objects.filter(player=obj).aggregate(km=Sum("distance_km"))["km"] or Decimal(0)
        session = OpenSession.objects.filter(player=obj).first()
        in_flight = session.distance_km - session.flushed_km if session else Decimal(0)
        return [
            Fact("Master", obj.distance_total, hint="what the player has ridden in all"),
            Fact("History", history, hint="what is saved, hour by hour"),
            Fact("In flight", in_flight, hint="the part of the open ride that is not saved yet"),
            Fact("History and in flight", history + in_flight, hint="should be the master"),
        ]

    def carry_out(self, obj: Player, strategy: str, **options: Any) -> Report:
        sample = options.pop("sample")
        return fix_mileage(Selection(obj.pk, Decimal(0)), strategy, limit=sample, **options)

    def more(self, request: HttpRequest, obj: Player) -> dict[str, Any]:
        return {
            "corrections": obj.corrections.all()[:CORRECTIONS_SHOWN],
            "may_correct": request.user.has_perm(CORRECT),
        }

    # Correcting the master

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.correct_view)
        return [path("<path:object_id>/correct/", view, name=self.page_name("correct")), *super().get_urls()]

    def correct_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a new total and a reason, and hand the difference to the verb."""
        player = self._viewable(request, object_id)
        if not request.user.has_perm(CORRECT):
            raise PermissionDenied
        back = reverse(f"admin:{self.page_name('check')}", args=[player.pk])
        facts = self.facts(player)
        first = {"total": facts[-1].km, "seen": player.distance_total}
        form = Correction(request.POST or None, initial=first)
        if request.method == "POST" and form.is_valid() and self._correct(request, player, form):
            return HttpResponseRedirect(back)
        context = {"title": f"Correct the total of {player}", "form": form, "facts": facts, "back": back}
        return self._render(request, "admin/players/correct.html", player, context)

    def _correct(self, request: HttpRequest, player: Player, form: Correction) -> bool:
        asked = form.cleaned_data
        by = asked["total"] - asked["seen"]
        try:
            done = correct_master(player.pk, by, actor=request.user.get_username(), reason=asked["reason"])
        except PlayersError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
            return False
        now, before = f"{done.after_km:,f} km", f"{done.before_km:,f} km"
        messages.success(request, f"The total is {now}; it was {before}. The groups above have moved with it.")
        return True
