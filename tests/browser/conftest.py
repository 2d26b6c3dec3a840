"""A real server on the test's database, with either admin, and Debian's Chromium in front of it."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from django.conf import global_settings
from django.db import connection
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent.parent
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DESK, PHONE = (1280, 800), (390, 844)


@pytest.fixture(scope="session", autouse=True)
def orm_between_steps():
    """The driver keeps an event loop in this thread; the ORM is called between its steps, never within."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@contextmanager
def serving(database, static, **environment):
    """Granian on a free port of loopback; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()
    given = os.environ | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "of this test",
        "STATIC_ROOT": str(static),
        **environment,
    }
    subprocess.run([sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"], cwd=ROOT, env=given, check=True)
    words = f"-m granian --interface wsgi --host 127.0.0.1 --port {port} --no-ws --blocking-threads 4"
    words += " --workers-kill-timeout 3 --log-level warning"
    server = subprocess.Popen([sys.executable, *words.split(), "config.wsgi:application"], cwd=ROOT, env=given)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def _wait(address, server):
    deadline = time.monotonic() + 60
    while True:
        try:
            urlopen(f"{address}/static/holdtrue/pages.css", timeout=2).close()
            return
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)


@pytest.fixture(autouse=True)
def hashes_of_the_server(settings):
    """The server is a process of its own, with the project's settings and not those of the tests."""
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS


@pytest.fixture(scope="session", params=["themed", "stock"])
def server(request, django_db_setup, django_db_blocker, tmp_path_factory):
    """The site, with the themed admin and with the stock one."""
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    plain = "1" if request.param == "stock" else "0"
    with serving(database, tmp_path_factory.mktemp("static"), PLAIN_ADMIN=plain) as address:
        yield address


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS
        )
        yield browser
        browser.close()


class Visit:
    """Somebody at a browser, who notices when anything is wrong with a page."""

    def __init__(self, context, server):
        self.page, self.server, self.problems = context.new_page(), server, []
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._is_ours)

    def _is_ours(self, request):
        if not request.url.startswith((self.server, "data:", "blob:")):
            self.problems.append(f"asked for {request.url}")

    def go(self, path):
        self.page.goto(self.server + path)
        return self.page

    def log_in(self):
        self.go("/admin/login/?next=/admin/")
        self.page.fill("[name=username]", "ann")
        self.page.fill("[name=password]", "a secret of ann")
        self.page.click("[type=submit]")
        self.page.wait_for_url("**/admin/")

    def shot(self, name):
        """Keep a picture where SCREENSHOTS says, to be looked at."""
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def is_too_wide(self):
        return self.page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.fixture
def visit(chromium, server, hashes_of_the_server, transactional_db, django_db_serialized_rollback, django_user_model):
    """Make visits; they end before the tables are emptied.

    What the migrations wrote is there again for each test, as it was: the server remembers the content types.
    """
    django_user_model.objects.create_superuser("ann", password="a secret of ann")
    contexts = []

    def begin(size=DESK, **options):
        context = chromium.new_context(viewport=dict(zip(("width", "height"), size, strict=True)), **options)
        contexts.append(context)
        return Visit(context, server)

    yield begin
    for context in contexts:
        context.close()
