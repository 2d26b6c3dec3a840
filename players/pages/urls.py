from django.urls import path

from players.pages import views

app_name = "pages"
urlpatterns = [
    path("", views.leaderboard_page, name="leaderboard"),
    path("groups/<int:group>/", views.leaderboard_page, name="group"),
    path("players/<int:player>/", views.player_page, name="player"),
    path("report/", views.report_page, name="report"),
]
