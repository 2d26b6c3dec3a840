"""The history of imports in the administration: what came in, what differed, what was left out, and the way back."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrity.importing.known import imports
from integrity.models import Run
from tests.integrity.feeds import CIRCUITS, imported, nightly, squad, yesterday
from tests.toy.squads import Squad

pytestmark = pytest.mark.django_db
ALL = "/admin/integrity/importrun/"
READ = ("view_run", "view_violation", "view_change")


@pytest.fixture(autouse=True)
def known():
    imports.register("toy", [nightly()])
    yield
    imports.unregister("toy.nightly")


def words(answer):
    """What a page says, without its tags."""
    return " ".join(re.sub("<[^>]*>", " ", answer.content.decode()).split())


def page(client, number):
    answer = client.get(f"{ALL}{number}/change/")
    assert answer.status_code == 200
    return words(answer)


def test_the_list_tells_counts_who_when_and_for_how_long(staff):
    yesterday()
    imported(squad(name="Squad 1", id=1), squad(founded="soon"), actor="cron", reason="by hand")
    found = words(staff(*READ).get(ALL))
    assert "toy.nightly partial 6 3 1 cron" in found
    assert "toy.nightly clean 9 0 0" in found
    assert "by hand" in found


def test_the_list_costs_the_same_however_long_it_is(boss):
    yesterday()

    def asked():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            boss.get(ALL)
        return len(queries)

    one = asked()
    for _ in range(3):
        yesterday()
    assert asked() == one


def test_the_page_of_one_tells_what_differed_in_each_table(staff):
    yesterday()
    report = imported(*(squad(name=f"Squad {i}", id=i, alias="a" if i % 2 else "") for i in range(1, 6)))
    found = page(staff(*READ), report.run)
    assert "toy.nightly.squad changed: alias 3 clean 5 0 3 2 2 0 0" in found
    assert "toy_squad 7 7 7" in found
    assert "toy_squad (circuit_id): 7 rows" in found


def test_the_page_of_one_tells_why_rows_were_rejected(staff):
    report = imported(*(squad(name=f"S{i}", founded="soon") for i in range(60)))
    found = page(staff(*READ), report.run)
    assert "60 problems" in found
    assert "squad 1 1 founded soon is no date such as 2030-01-31" in found
    assert "Page 1 of 2" in found
    assert "squad 60 60 founded" in words(staff(*READ, name="bob").get(f"{ALL}{report.run}/change/?p=2"))


def test_an_import_that_was_refused_says_why(staff):
    report = imported(squad(founded="soon"), error_budget=0)
    found = page(staff(*READ), report.run)
    assert "refused Import" in found
    assert "More than 0 rows are wrong" in found


def test_an_import_is_taken_back_by_who_may(staff):
    yesterday()
    report = imported(squad(name="Squad 1", id=1), circuits=CIRCUITS)
    way = f"/admin/integrity/run/{report.run}/undo/"
    assert way not in staff(*READ).get(f"{ALL}{report.run}/change/").content.decode()
    client = staff(*READ, "undo", name="bob")
    assert way in client.get(f"{ALL}{report.run}/change/").content.decode()
    Squad.objects.filter(name="Squad 5").update(active=True, alias="since")
    tried = client.post(way, {"step": "try", "reason": "wrong file"})
    assert "stays as it is" in words(tried)
    assert Squad.objects.filter(active=False).count() == 5


def test_nobody_sees_it_who_may_not(staff, client):
    report = yesterday()
    assert staff("view_violation").get(f"{ALL}{report.run}/change/").status_code == 403
    assert staff("view_violation", name="bob").get(ALL).status_code == 403
    assert staff("import_feed", name="cy").get(ALL).status_code == 200
    assert client.post(f"{ALL}{report.run}/delete/").status_code == 403


def test_another_run_is_no_import(boss):
    yesterday()
    Run.objects.update(verb="repair")
    assert boss.get(f"{ALL}{Run.objects.first().pk}/change/").status_code == 404
