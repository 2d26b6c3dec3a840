"""What the site sends beside its pages, and what it refuses to start with."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from config import checks, compat, serve
from config.administration import base

ROOT = Path(__file__).parent.parent.parent
PRODUCTION = {"SECRET_KEY": "abcdefghij" * 6, "ALLOWED_HOSTS": "riders.example", "HTTPS": "1", "BEHIND_PROXY": "1"}


def run(*words, **environment):
    given = {name: value for name, value in os.environ.items() if name not in PRODUCTION} | environment
    given["DJANGO_SETTINGS_MODULE"] = "config.settings"
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=given, capture_output=True, text=True, check=False)


# Policy


def policy(path, **settings):
    def view(request):
        return HttpResponse("page")

    with override_settings(**settings):
        answer = compat.ContentSecurityPolicyMiddleware(compat.PolicyByPath(view))(RequestFactory().get(path))
    return answer.headers.get("Content-Security-Policy", "")


def test_pages_may_load_from_their_own_host_alone():
    assert policy("/") == policy("/administration") == policy("/api/docs")
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy("/")


def test_only_the_themed_admin_may_evaluate():
    assert "script-src 'self' 'unsafe-eval'" in policy("/admin/players/")
    assert "unsafe" not in policy("/")


def test_without_a_policy_there_is_no_header():
    assert not policy("/", SECURE_CSP={}, SECURE_CSP_BY_PATH={})


# Start


def test_the_public_key_signs_nothing_in_production():
    with override_settings(SECRET_KEY=checks.PUBLIC_SECRET_KEY, DEBUG=False):
        assert [error.id for error in checks.secret_key_is_secret()] == ["config.E001"]
    with override_settings(SECRET_KEY="a secret", DEBUG=False):
        assert checks.secret_key_is_secret() == []


def test_the_web_entry_point_refuses_the_public_key():
    done = run("-c", "import config.wsgi")
    assert done.returncode == 2
    assert done.stderr.startswith("SECRET_KEY is unset, and the default one is public: set SECRET_KEY")
    assert run("-c", "import config.wsgi", SECRET_KEY="a secret").returncode == 0


def test_production_settings_leave_nothing_to_warn_of():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


def test_without_production_settings_the_deploy_check_fails():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode != 0
    assert "config.E001" in done.stderr


def test_the_stock_admin_is_one_setting_away():
    code = (
        "import django; django.setup(); from config import urls; "
        "from config.administration.base import ModelAdmin; print(ModelAdmin.__module__)"
    )
    assert run("-c", code, PLAIN_ADMIN="1").stdout.strip() == "django.contrib.admin.options"
    assert base.ModelAdmin.__module__ == "unfold.admin"


@pytest.mark.django_db
@pytest.mark.parametrize(("headers", "status"), [({}, 301), ({"X-Forwarded-Proto": "https"}, 200)])
def test_behind_a_proxy_plain_requests_are_redirected(client, headers, status):
    trusted = {"SECURE_SSL_REDIRECT": True, "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
    with override_settings(**trusted):
        assert client.get("/", headers=headers).status_code == status


# make serve


def test_a_port_that_is_taken_is_named_with_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("-m", "config.serve", PORT=str(port))
    assert done.returncode == 2
    assert f"Port {port} of this machine cannot be used (Address already in use)" in done.stderr
    assert "make serve PORT=" in done.stderr


@pytest.mark.parametrize("port", ["65536", "http"])
def test_a_port_that_is_none_is_refused(port):
    done = run("-m", "config.serve", PORT=port)
    assert done.returncode == 2
    assert f"PORT={port} is no port" in done.stderr


@pytest.mark.django_db
def test_each_start_gives_the_login_a_new_password(django_user_model):
    first, second = serve.reset_login(), serve.reset_login()
    account = django_user_model.objects.get(username=serve.LOGIN)
    assert (account.check_password(first), account.check_password(second)) == (False, True)
    assert account.is_superuser


def test_the_secret_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "key"
    made = serve._secret_key(path)
    assert made == serve._secret_key(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.django_db(transaction=True)
def test_serve_begins_with_an_empty_database_and_ends_with_ctrl_c(tmp_path, django_user_model):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    given = {"PORT": str(port), "DATABASE_URL": database, "STATIC_ROOT": str(tmp_path), "SECRET_KEY": "a secret"}
    given |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    words = [sys.executable, "-m", "config.serve"]
    with subprocess.Popen(words, cwd=ROOT, env=os.environ | given, stdout=subprocess.PIPE, text=True) as server:
        said = ""
        while "Ctrl-C" not in said:
            said += server.stdout.readline()
        page = answer_of(f"http://localhost:{port}/")
        server.send_signal(signal.SIGINT)
        server.wait(30)
    assert "Rider 0" in page
    password = said.partition("password ")[2].split()[0]
    assert django_user_model.objects.get(username=serve.LOGIN).check_password(password)
    assert (tmp_path / "holdtrue" / "pages.css").exists()


def answer_of(url):
    """The page, as soon as the server has begun, however busy the machine is."""
    for _ in range(600):
        try:
            with urlopen(url, timeout=60) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.1)
    return ""
