import pytest
from django.core.exceptions import ImproperlyConfigured

from config.database_url import parse


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("garbage", "DATABASE_URL=garbage is not a URL"),
        ("postgres", "is not a URL"),
        ("mysql://ann:secret@db/shop", r"DATABASE_URL=mysql://ann:\*\*\*@db/shop asks for mysql, but only PostgreSQL"),
        ("sqlite:///file.db", "asks for sqlite"),
        ("postgres://ann:secret@db", "names no database"),
        ("postgres://ann:secret@db/", "names no database"),
        ("postgres:///?host=/run", "names no database"),
        ("postgres://ann:secret@db:port/shop", "is not a valid URL"),
        ("postgres://ann:secret@db:99999/shop", "is not a valid URL"),
        ("postgres://ann:secret@[db/shop", "is not a valid URL"),
    ],
)
def test_a_wrong_url_is_refused_with_the_way_out(url, problem):
    with pytest.raises(ImproperlyConfigured, match=f"{problem}.*write postgres://user:password@host:5432/name"):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ann:s3cret@db/shop",
        "mysql://ann:s3c/r3t:s3cret@db/shop",
        "postgres://ann:a@s3cret@db:x/shop",
        "mysql:///shop?user=ann&password=s3cret",
    ],
)
def test_a_password_is_never_shown(url):
    with pytest.raises(ImproperlyConfigured) as refused:
        parse(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "name"),
    [
        ("postgres://ann:secret@db:6000/shop", "db", 6000, "shop"),
        ("postgresql://ann@db/shop", "db", "", "shop"),
        ("postgres:///shop", "", "", "shop"),
        ("postgres:///shop?host=/run/postgresql", "/run/postgresql", "", "shop"),
        ("postgres://%2Frun%2Fpostgresql/shop", "/run/postgresql", "", "shop"),
        ("postgres:////run/postgresql/shop", "/run/postgresql", "", "shop"),
        ("postgres://db/sh%C3%B6p", "db", "", "shöp"),
    ],
)
def test_a_host_may_be_a_name_or_a_directory(url, host, port, name):
    entry = parse(url)
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == (host, port, name)


def test_a_password_is_decoded():
    assert parse("postgres://ann:p%40ss%2Fw%3Ard@db/shop")["PASSWORD"] == "p@ss/w:rd"


def test_options_reach_the_driver():
    assert parse("postgres://db/shop?sslmode=require&connect_timeout=5")["OPTIONS"] == {
        "sslmode": "require",
        "connect_timeout": 5,
        "application_name": "holdtrue",
    }
