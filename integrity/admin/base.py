"""What all pages share: which admin is in use, who may see and do what, and pages of our own beside Django's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integrity.permissions import may
from integrity.shown import moment
from integrity.workers import queue

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
elif apps.is_installed("unfold"):
    from unfold.admin import ModelAdmin
else:
    ModelAdmin = admin.ModelAdmin


class Page(ModelAdmin):
    """Records, which only verbs write."""

    list_per_page = 50
    show_full_result_count = False

    class Media:
        css = {"all": ["integrity/admin.css"]}
        js = ["integrity/admin.js"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # For pages of our own

    def page_name(self, page: str) -> str:
        """The name of a URL of this admin, without the namespace."""
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def seen(self, request: HttpRequest, object_id: str) -> Any:
        """The object that somebody may see. Raises PermissionDenied and Http404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}.")
        return obj

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """A page of our own within the admin that is in use."""
        request.current_app = self.admin_site.name
        shared = {"opts": self.opts, "media": self.media, **verbs_of(request)}
        path = f"admin/integrity/{template}"
        return TemplateResponse(request, path, {**self.admin_site.each_context(request), **shared, **context})


def require(page: Page, request: HttpRequest, verb: str) -> None:
    """Raise PermissionDenied for somebody who may not, or may not even see what it is about."""
    if not page.has_view_permission(request) or not may(request.user, verb):
        raise PermissionDenied(f"The permission to {verb} is needed, and that to see what it is about.")


def verbs_of(request: HttpRequest) -> dict[str, bool]:
    """What somebody may do, for templates: ``may_repair`` and so on; and whether there are workers to do it."""
    return {"has_queue": queue.is_there()} | {
        f"may_{verb}": may(request.user, verb) for verb in ("analyze", "repair", "undo", "accept", "enforce", "control")
    }


def actor(request: HttpRequest) -> str:
    """Who acts, for the records."""
    return request.user.get_username()


# What stands in columns

TONES = {
    "clean": "good",
    "sent": "good",
    "retired": "good",
    "holds": "good",
    "enforced": "good",
    "healthy": "good",
    "resolved": "good",
    "violated": "bad",
    "broken": "bad",
    "failed": "bad",
    "open": "bad",
    "degraded": "bad",
    "queued": "busy",
    "fails": "bad",
    "grown": "bad",
    "unnoticed": "bad",
    "running": "busy",
    "waiting": "busy",
    "accepted": "busy",
    "guarded": "busy",
}


def badge(word: str) -> SafeString:
    """A status as a coloured word; whatever is neither good nor bad is a warning."""
    return format_html('<span class="i-badge i-{}">{}</span>', TONES.get(word, "warn"), word)


def rule_link(label: str) -> SafeString:
    """A rule, leading to its page."""
    return format_html('<a href="{}">{}</a>', rule_url(label), label)


def rule_url(label: str) -> str:
    """The page of a rule."""
    return reverse("admin:integrity_declaredrule_change", args=[label])


def run_link(number: int | None, text: str = "") -> SafeString | None:
    """A run, leading to its page; None for none, which a template leaves out."""
    if number is None:
        return None
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:integrity_run_change", args=[number]), text or f"run {number}"
    )


def figure(number: float | None) -> SafeString:
    """A number in a column of figures."""
    return format_html('<span class="i-figure">{}</span>', "-" if number is None else f"{number:,}")


def when(at: Any) -> str | None:
    """A moment in a column."""
    return moment(at) if at else None
