from django.urls import path

from players.pages.views import leaderboard_page, player_page, report_page

app_name = "pages"
urlpatterns = [
    path("", leaderboard_page, name="leaderboard"),
    path("groups/<int:group>/", leaderboard_page, name="group"),
    path("players/<int:player>/", player_page, name="player"),
    path("report/", report_page, name="report"),
]
