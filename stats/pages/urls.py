from django.contrib.auth.views import LogoutView
from django.urls import path

from stats.pages.views import SignIn, dashboard

app_name = "stats"
urlpatterns = [
    path("", dashboard, name="dashboard"),
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(next_page="stats:login"), name="logout"),
]
