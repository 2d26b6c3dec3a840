from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from config.api import api
from integrity.metrics.view import metrics

if not settings.PLAIN_ADMIN:
    from config import accounts  # noqa: F401  (registers its pages)

admin.site.site_title = admin.site.site_header = "Holdtrue"
admin.site.index_template = "admin/integrity/index.html"

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("metrics", metrics),
    path("favicon.ico", RedirectView.as_view(url="/static/holdtrue/icon.svg")),
    path("teams/", include("teams.pages.urls")),
    path("stats/", include("stats.pages.urls")),
    path("", include("players.pages.urls")),
]
