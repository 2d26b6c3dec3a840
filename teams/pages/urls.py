from django.contrib.auth.views import LogoutView
from django.urls import path

from teams.pages.views import SignIn, ask_page, home, team_page, tell_page, vote_page

app_name = "teams"
urlpatterns = [
    path("", home, name="home"),
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(next_page="teams:login"), name="logout"),
    path("<int:team>/", team_page, name="team"),
    path("<int:team>/ask/", ask_page, name="ask"),
    path("<int:team>/tell/", tell_page, name="tell"),
    path("polls/<int:poll>/vote/", vote_page, name="vote"),
]
