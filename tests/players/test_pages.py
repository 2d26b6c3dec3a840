"""The public pages: what they say, what they keep to themselves, and what they cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from django.utils import timezone

from players.models import OpenSession, Player
from players.pages.chart import chart, span
from players.reports import Bucket, Distance
from players.templatetags.kilometres import rounded
from tests.players.factories import make_device, make_group, make_hour, make_player

pytestmark = pytest.mark.django_db


class Words(HTMLParser):
    """The text of a page, and the tags that a strict policy would refuse."""

    def __init__(self, html):
        super().__init__()
        self.text, self.inline = [], []
        self.feed(html)

    def handle_data(self, data):
        self.text.append(data)

    def handle_starttag(self, tag, attrs):
        names = {name for name, _ in attrs}
        if tag == "style" or (tag == "script" and "src" not in names) or "style" in names:
            self.inline.append(tag)
        self.inline += [name for name in names if name.startswith("on")]
        self.inline += [value for name, value in attrs if name in ("src", "href") and value.startswith(("http", "//"))]


def read(client, path, status=200):
    answer = client.get(path)
    assert answer.status_code == status
    return " ".join(" ".join(Words(answer.content.decode()).text).split())


def ride_now(player, km, hours_ago=0):
    """An hour of history that the usual reports show."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    return player.hourly_metrics.create(device=make_device(), hour=hour, distance_km=Decimal(km))


# Leaderboard


def test_the_leaderboard_has_the_highest_totals_first(client):
    make_player(stored="1234.5", name="Ann")
    make_player(stored="20.125", name="Bob")
    assert "Riders 1 Ann 1,234.5 km 2 Bob 20.13 km" in read(client, "/")


def test_equal_totals_share_a_rank(client):
    for name in ("Ann", "Bob"):
        make_group(name, total=5)
    make_group("Cleo", total=4)
    assert "1 Ann 5.00 km 1 Bob 5.00 km 3 Cleo 4.00 km" in read(client, "/")


def test_a_group_has_its_own_leaderboard_below_the_groups_above(client):
    school = make_group("School", make_group("City"), total=7)
    make_player(stored=7, groups=[make_group("Class", school)], name="Ann")
    make_player(stored=9, name="Bob")
    page = read(client, f"/groups/{school.pk}/")
    assert "Everybody City School 7.00 km in all" in page
    assert "1 Ann 7.00 km" in page
    assert "Class" in page
    assert "Bob" not in page


def test_only_the_next_level_of_groups_competes(client):
    make_group("Class", make_group("School"))
    page = read(client, "/")
    assert "School" in page
    assert "Class" not in page


def test_who_is_hidden_has_no_line_and_no_page(client):
    hidden = make_player(stored=5, name="Ann", is_visible=False)
    group = make_group("Secret", is_visible=False)
    assert "Ann" not in read(client, "/")
    assert "Secret" not in read(client, "/report/")
    read(client, f"/players/{hidden.pk}/", status=404)
    read(client, f"/groups/{group.pk}/", status=404)


def test_a_long_leaderboard_offers_the_rest(client):
    for number in range(26):
        make_player(stored=number, name=f"Rider {number}!")
    assert "Show more" in read(client, "/")
    assert "Rider 0!" in read(client, "/?all=1")


@pytest.mark.parametrize("path", ["/groups/999999999999999999999/", "/players/99999999999999999999/", "/players/7/"])
def test_what_does_not_exist_is_not_found(client, path):
    assert "There is nothing here" in read(client, path, status=404)


# Report


def test_the_report_has_the_last_two_weeks_by_day_when_nothing_is_asked(client):
    player = make_player()
    ride_now(player, 12)
    make_hour(player, make_device(), km=99)
    page = read(client, "/report/")
    assert "Everybody" in page
    assert "In all 12.00 km" in page
    assert client.get("/report/").content.count(b'class="hit"') == 14


@pytest.mark.parametrize(("bucket", "bars"), [("hour", 48), ("day", 14), ("week", 13), ("month", 13)])
def test_each_bucket_has_a_usual_time(client, bucket, bars):
    ride_now(make_player(), 1)
    found = client.get(f"/report/?bucket={bucket}").content.count(b'class="hit"')
    assert found in (bars, bars - 1)


def test_both_days_of_a_report_are_included(client):
    player, device = make_player(), make_device()
    make_hour(player, device, -8, km=1)  # midnight of 2 March
    make_hour(player, device, 39, km=2)  # 23:00 of 3 March
    make_hour(player, device, 40, km=4)
    assert "In all 3.00 km" in read(client, "/report/?start=2026-03-02&end=2026-03-03")


def test_days_are_those_of_the_time_zone(client):
    make_hour(make_player(), make_device(), 15, km=2)  # 23:00 of 2 March in UTC is the 3rd in Helsinki
    page = read(client, "/report/?start=2026-03-03&end=2026-03-03&tz=Europe/Helsinki")
    assert "3 Mar 2026 to 3 Mar 2026, Europe/Helsinki" in page
    assert "In all 2.00 km" in page


def test_a_report_of_a_group_has_its_subtree_alone(client):
    school = make_group("School")
    inside = make_group("Class", school)
    player, device = make_player(), make_device()
    make_hour(player, device, 0, km=2, group_at_time=inside)
    make_hour(player, device, 1, km=4)
    page = read(client, f"/report/?start=2026-03-02&end=2026-03-02&group={school.pk}")
    assert "School" in page
    assert "In all 2.00 km" in page


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("start=yesterday", "Write a day as 2026-11-20."),
        ("end=31.12.", "Write a day as 2026-11-20."),
        ("start=2026-03-02&end=2026-03-01", "This day is before the first one."),
        ("bucket=hour&start=2026-01-01&end=2026-12-31", "8,760 bars would be too many to see"),
        ("start=1816-03-02", "Choose a day between the years 2000 and 2100."),
        ("end=9999-12-31", "Choose a day between the years 2000 and 2100."),
        ("tz=Mars/Olympus", "'Mars/Olympus' is no time zone"),
        ("tz=../../etc/passwd", "is no time zone"),
        ("bucket=decade", "Choose hour, day, week or month."),
        ("group=999", "There is no such group."),
        ("group=one", "There is no such group."),
        ("tz=%00", "Null characters are not allowed."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(client, query, message):
    assert message in read(client, f"/report/?{query}", status=400)


def test_a_report_is_followed_while_its_time_goes_on(client):
    assert b'data-follow="15"' in client.get("/report/").content
    assert b'data-follow="0"' in client.get("/report/?start=2026-03-02&end=2026-03-02").content


# Player


def test_a_player_has_a_total_groups_and_history(client):
    player = make_player(stored=40, groups=[make_group("School")], name="Ann")
    ride_now(player, 12)
    page = read(client, f"/players/{player.pk}/")
    assert "Ann School" in page
    assert "Total 40.00 km" in page
    assert "12.00 km in the last 30 days" in page


def test_a_ride_that_goes_on_is_shown_apart_from_history(client):
    player = make_player(rides=[4], open=[3, 1], name="Ann")
    page = read(client, f"/players/{player.pk}/")
    assert "Riding now 3.00 km" in page
    assert "2.00 km of the ride that goes on is not in it yet" in page
    OpenSession.objects.all().delete()
    assert "Riding now" not in read(client, f"/players/{player.pk}/")


def test_the_tag_of_a_player_is_nobodys_business(client):
    player = make_player(name="Ann", id_tag="04:A3:1B")
    assert "04:A3:1B" not in client.get(f"/players/{player.pk}/").content.decode()


# All of them


def paths():
    player = make_player(stored=5, groups=[make_group("School")])
    ride_now(player, 5)
    return ["/", f"/groups/{player.groups.get().pk}/", "/report/", "/report/?tz=x", f"/players/{player.pk}/"]


def test_an_empty_database_is_said_kindly(client):
    assert "Nobody rides yet." in read(client, "/")
    assert "Nothing was ridden in this time." in read(client, "/report/")


def test_names_are_text_and_never_markup(client):
    name = "<script>alert(1)</script>\"'&"
    group = make_group(name)
    player = make_player(stored=5, name=name, groups=[group])
    ride_now(player, 5)
    for path in ("/", f"/groups/{group.pk}/", f"/report/?group={group.pk}", f"/players/{player.pk}/"):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(client):
    for path in [*paths(), "/nowhere/"]:
        answer = client.get(path)
        assert Words(answer.content.decode()).inline == []
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_a_page_that_has_not_changed_is_not_sent_again(client):
    for path in paths():
        first = client.get(path)
        if first.status_code == 200:
            assert client.get(path, headers={"If-None-Match": first["ETag"]}).status_code == 304
            assert first["Cache-Control"] == "no-cache, private"
    etag = client.get("/")["ETag"]
    Player.objects.update(distance_total=6)
    assert client.get("/", headers={"If-None-Match": etag}).status_code == 200


def test_pages_only_read(client):
    for path in paths():
        assert client.post(path).status_code == 405


@pytest.mark.parametrize(
    ("path", "queries"),
    [("/", 3), ("/groups/{group}/", 5), ("/report/", 2), ("/report/?group={group}", 4), ("/players/{player}/", 3)],
)
def test_a_page_takes_the_same_queries_however_much_there_is(client, django_assert_num_queries, path, queries):
    school = make_group("School")
    players = [make_player(stored=number, groups=[make_group(parent=school)]) for number in range(12)]
    for player in players:
        ride_now(player, 5)
    with django_assert_num_queries(queries):
        client.get(path.format(group=school.pk, player=players[0].pk))


# Drawing

MARCH = datetime(2026, 3, 2, tzinfo=UTC)


def row(km, days=1, start=MARCH):
    return Distance(start, start + timedelta(days=days), Decimal(km))


def test_the_highest_bar_nearly_fills_the_chart_and_the_others_are_in_proportion():
    drawn = chart([row(10), row(5), row(0)], Bucket.DAY, MARCH)
    assert [bar.height for bar in drawn.bars] == [208, 104, 0]
    assert [tick.km for tick in drawn.ticks] == ["0", "2.5", "5", "7.5", "10"]


def test_a_little_is_seen_beside_a_lot():
    assert chart([row(10000), row("0.00001")], Bucket.DAY, MARCH).bars[1].height == 1


def test_a_chart_of_nothing_is_flat():
    assert {bar.height for bar in chart([row(0), row(0)], Bucket.DAY, MARCH).bars} == {0}
    assert chart([], Bucket.DAY, MARCH).bars == []


@pytest.mark.parametrize(
    ("days", "bucket", "words"),
    [
        (1 / 24, Bucket.HOUR, "Mon 2 Mar, 00:00"),
        (1, Bucket.DAY, "Mon 2 Mar 2026"),
        (7, Bucket.WEEK, "2-8 Mar 2026"),
        (30, Bucket.WEEK, "2-31 Mar 2026"),
        (31, Bucket.WEEK, "2 Mar-1 Apr 2026"),
        (30, Bucket.MONTH, "March 2026"),
    ],
)
def test_a_bucket_is_named_by_its_time(days, bucket, words):
    assert span(row(1, days), bucket) == words


@pytest.mark.parametrize(
    ("km", "words"),
    [("0", "0.00"), ("0.005", "0.01"), ("99.994", "99.99"), ("248.14", "248.1"), ("12482.6", "12,483")],
)
def test_distances_are_rounded_to_be_read(km, words):
    assert rounded(Decimal(km)) == words
