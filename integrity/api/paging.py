"""Pages of a list in a stable order: each begins behind the last entry of the one before, however many have come."""

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from integrity.api.asked import Page


def page(
    request: HttpRequest, found: QuerySet[Any, Any], asked: Page, *, latest_first: bool = False, path: str = ""
) -> tuple[list[Any], str | None]:
    """The entries of a page, by id, and the address of the next one where there is more.

    path: where the pages are, if not where the request went.
    """
    if asked.after is not None:
        found = found.filter(pk__lt=asked.after) if latest_first else found.filter(pk__gt=asked.after)
    rows: list[Model] = list(found.order_by("-pk" if latest_first else "pk")[: asked.limit + 1])
    if len(rows) <= asked.limit:
        return rows, None
    rows.pop()
    query = request.GET.copy()
    query["after"] = str(rows[-1].pk)
    return rows, f"{path or request.path}?{query.urlencode()}"
