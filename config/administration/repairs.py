"""Whether one row keeps its rules, what each repair would write, and what was done and can be taken back.

Looking writes nothing, not even a record of the look. A repair is tried first (a dry run, which is recorded like every
run), shown, and carried out only when it is confirmed with a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.administration.base import Page
from integrity import Unique
from integrity.engine import preview
from integrity.exceptions import EngineError
from integrity.keys import Key
from integrity.look import look
from integrity.models import Change, Run
from integrity.permissions import may
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Finding, PlannedChange, Report, RuleReport, rows
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statuses import CLEAN, VIOLATED
from integrity.undo import undo

SHOWN = 50
RUNS_SHOWN = 10
TRY, APPLY = "try", "apply"


@dataclass(frozen=True)
class Offer:
    """A repair that could be carried out, and the first rows that it would write."""

    name: str
    about: str
    planned: list[PlannedChange] = field(default_factory=list)


@dataclass(frozen=True)
class Broken:
    """A rule that a row breaks, and how."""

    rule: Rule
    finding: Finding


class Consent(forms.Form):
    """Why, and whether it was tried already."""

    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea({"rows": 2, "placeholder": "Why, for the record"}),
        error_messages={"required": "Say why: the run is kept with its reason."},
    )
    step = forms.ChoiceField(choices=[(TRY, TRY), (APPLY, APPLY)], widget=forms.HiddenInput)


def findings(label: str, keys: Sequence[Key] | None = None) -> list[Finding]:
    """What breaks a rule, of these keys or of all, in one statement and without a record."""
    report = RuleReport(label)
    look(registry.get(label), Scope.of(keys), DEFAULT_DB_ALIAS, report)
    return report.sample


def key_of(rule: Rule, obj: Any) -> Key:
    """The key under which a rule knows a row: its primary key, or the columns that may occur once together."""
    return tuple(getattr(obj, getattr(field, "attname", field.name)) for field in _key_fields(rule))


def _key_fields(rule: Rule) -> list[Any]:
    if not isinstance(rule, Unique):
        return rule.key_fields
    return [rule.model._meta.get_field(label) for label in rule.labels]


class Repairable(Page):
    """An admin whose rows obey rules of the engine."""

    rules: Sequence[str] = ()
    """By label; a key of each is found in the row itself."""
    strategies: Mapping[str, str] = {}
    """Repairs by name, with a sentence for whoever chooses; one is offered where a broken rule declares it."""
    check_template = "admin/holdtrue/check.html"
    planned_template = "admin/holdtrue/planned.html"

    def facts(self, obj: Any) -> list[Any]:
        """What is worth to be seen beside the rules."""
        return []

    def carry_out(self, obj: Any, strategy: str, **options: Any) -> Report:
        """Call the verb that repairs one row."""
        declaring = [rule for rule in map(registry.get, self.rules) if strategy in rule.repairs]
        broken = [found.rule for found in self.broken(obj) if found.rule in declaring]
        # Where somebody else has repaired it meanwhile, the run finds nothing to do and says so.
        work = [(rule, strategy) for rule in broken or declaring]
        return repair(work, keys={rule.label: [key_of(rule, obj)] for rule, _ in work}, **options)

    def broken(self, obj: Any) -> list[Broken]:
        """The rules that a row breaks, with its violations."""
        rules = [registry.get(label) for label in self.rules]
        found = [(rule, findings(rule.label, [key_of(rule, obj)])) for rule in rules]
        return [Broken(rule, finding) for rule, violations in found for finding in violations]

    @admin.display(description="keeps its rules")
    def verdict(self, obj: Any) -> SafeString:
        """Yes or no, with the way to the page that says more; for the change page."""
        if obj.pk is None:
            return format_html("{}", "-")
        broken = self.broken(obj)
        link = reverse(f"admin:{self.page_name('check')}", args=[obj.pk])
        words = "Look at it and repair it" if broken else "Look at it"
        return format_html('{} <a href="{}">{}</a>', self.in_words(broken), link, words)

    def in_words(self, broken: Sequence[Broken]) -> SafeString:
        """The verdict alone."""
        if broken:
            return format_html('<span class="verdict bad">{}</span>', "no")
        return format_html('<span class="verdict good">{}</span>', "yes")

    # Pages

    def page_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        ours = [
            path("<path:object_id>/check/", wrap(self.check_view), name=self.page_name("check")),
            path("<path:object_id>/repair/<str:strategy>/", wrap(self.repair_view), name=self.page_name("repair")),
            path("<path:object_id>/undo/<int:run>/", wrap(self.undo_view), name=self.page_name("undo")),
        ]
        return [*ours, *super().get_urls()]

    def check_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        obj = self._viewable(request, object_id)
        broken = self.broken(obj)
        context = {
            "title": self.question(obj),
            "facts": self.facts(obj),
            "broken": broken,
            "rules": [registry.get(label) for label in self.rules],
            "offers": self._offers(obj, broken),
            "shown": SHOWN,
            "runs": self._runs(obj),
            "may_repair": may(request.user, "repair"),
            "may_undo": may(request.user, "undo"),
            "form": Consent(),
            **self.more(request, obj),
        }
        return self._render(request, self.check_template, obj, context)

    def question(self, obj: Any) -> str:
        """The title of the check page."""
        return f"Does {obj} keep its rules?"

    def _offers(self, obj: Any, broken: Sequence[Broken]) -> list[Offer]:
        offers = []
        for name, about in self.strategies.items():
            curing = [found.rule for found in broken if name in found.rule.repairs]
            if curing:
                planned = [p for rule in curing for p in preview(rule, name, [key_of(rule, obj)], limit=SHOWN + 1)]
                offers.append(Offer(name, about, planned))
        return offers

    def more(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """What a check page shows beside that."""
        return {}

    def repair_view(self, request: HttpRequest, object_id: str, strategy: str) -> HttpResponse:
        """Try a repair, or carry it out once it was tried and confirmed."""
        obj = self._writable(request, object_id, "repair")
        if strategy not in self.strategies:
            raise Http404(f"There is no repair {strategy!r}.")

        def verb(*, dry_run: bool, reason: str) -> Report:
            return self.carry_out(obj, strategy, dry_run=dry_run, reason=reason, actor=_actor(request), sample=SHOWN)

        return self._in_two_steps(request, obj, verb, f"Repair {obj}: {strategy.replace('_', ' ')}")

    def undo_view(self, request: HttpRequest, object_id: str, run: int) -> HttpResponse:
        """Take a run of this page back; the same two steps."""
        obj = self._writable(request, object_id, "undo")
        if run not in {known.pk for known in self._runs(obj)}:
            raise Http404(f"Run {run} is no run of this page.")

        def verb(*, dry_run: bool, reason: str) -> Report:
            return undo(run, dry_run=dry_run, reason=reason, actor=_actor(request), sample=SHOWN)

        return self._in_two_steps(request, obj, verb, f"Take run {run} back")

    def _in_two_steps(self, request: HttpRequest, obj: Any, verb: Any, title: str) -> HttpResponse:
        form = Consent(request.POST)
        back = reverse(f"admin:{self.page_name('check')}", args=[obj.pk])
        if not form.is_valid():
            messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
            return HttpResponseRedirect(back)
        try:
            report = verb(dry_run=form.cleaned_data["step"] == TRY, reason=form.cleaned_data["reason"])
        except EngineError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(back)
        if report.dry_run:
            context = {
                "title": title,
                "report": report,
                "form": form,
                "back": back,
                "stopped": [why for rule in report.rules for why in (rule.error, rule.brake) if why],
                "APPLY": APPLY,
            }
            return self._render(request, "admin/holdtrue/confirm.html", obj, context)
        self._tell(request, report)
        return HttpResponseRedirect(back)

    def _tell(self, request: HttpRequest, report: Report) -> None:
        wrong = "; ".join(rule.error for rule in report.rules if rule.error)
        done = f"Run {report.run} ({report.verb}) wrote {rows(report.changes)}."
        if wrong:
            messages.error(request, f"{done} It was not finished: {wrong}")
        elif report.status == CLEAN:
            messages.success(request, f"{done} It is right now." if report.verb == "repair" else done)
        elif report.status == VIOLATED:
            messages.warning(request, f"{done} Something is left that this repair cannot cure.")
        else:
            skipped = sum(rule.skipped for rule in report.rules)
            messages.warning(request, f"{done} {rows(skipped)} had changed meanwhile and stayed as they are.")

    def _runs(self, obj: Any) -> list[Run]:
        """The runs that were limited to this row, and their undos, the newest first."""
        of_row = of_undone = Q(pk__in=[])
        for rule in map(registry.get, self.rules):
            keys = {rule.label: [rule.key_as_json(key_of(rule, obj))]}
            of_row |= Q(keys__contains=keys)
            of_undone |= Q(of__keys__contains=keys)
        undone = Q(verb=Run.Verb.UNDO) & of_undone
        waiting = Change.objects.filter(run=OuterRef("pk"), undone_by=None)
        runs = Run.objects.filter(of_row & Q(verb=Run.Verb.REPAIR) | undone, dry_run=False)
        return list(runs.select_related("of").annotate(can_be_undone=Exists(waiting)).order_by("-id")[:RUNS_SHOWN])

    # Who may

    def _viewable(self, request: HttpRequest, object_id: str) -> Any:
        obj = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}.")
        return obj

    def _writable(self, request: HttpRequest, object_id: str, verb: str) -> Any:
        """For what writes: POST alone, from somebody who may."""
        obj = self._viewable(request, object_id)
        if request.method != "POST" or not may(request.user, verb):
            raise PermissionDenied
        return obj

    def _render(self, request: HttpRequest, template: str, obj: Any, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        names = {name: f"admin:{self.page_name(name)}" for name in ("check", "repair", "undo")}
        shared = {
            "planned_rows": self.planned_template,
            "opts": self.opts,
            "original": obj,
            "object": obj,
            "urls": names,
            "media": self.media,
        }
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **shared, **context})


def _actor(request: HttpRequest) -> str:
    return request.user.get_username()
