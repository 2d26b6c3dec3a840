"""The ways to people: what arrives, what is signed, what is refused, and settings that cannot mean what they say."""

import hashlib
import hmac
import json
import re
import socket
import time
from pathlib import Path

import pytest
from django.core import mail
from django.core.checks import run_checks

from integrity.alerts import sending
from integrity.alerts.channels import posting
from integrity.alerts.channels.base import NotDelivered
from integrity.alerts.sending import send_test
from integrity.exceptions import UnknownName
from tests.integrity.receivers import receiving

SECRET = "a secret that both sides know"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


@pytest.fixture
def declare(settings):
    def declare(**channel):
        settings.INTEGRITY_ALERTS = [channel]

    return declare


@pytest.fixture
def webhook(declare, receiver):
    declare(type="webhook", url=f"{receiver.url}/in?from=here", secret=SECRET)
    return receiver


def refused():
    with pytest.raises(NotDelivered) as caught:
        send_test("webhook")
    return caught.value


# What arrives


def test_a_webhook_gets_json_with_an_id_and_a_signature_of_time_and_body(webhook):
    before = int(time.time())
    send_test("webhook")
    (got,) = webhook.got
    headers, body = got["headers"], got["body"]
    at, signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["Integrity-Signature"]).groups()
    assert before <= int(at) <= time.time()
    assert signed == hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert (got["path"], headers["Content-Type"]) == ("/in?from=here", "application/json")
    told = json.loads(body)
    assert told["id"] == headers["Integrity-Delivery"]
    assert [event["event"] for event in told["events"]] == ["test"]


def test_a_webhook_without_a_secret_is_not_signed(declare, receiver):
    declare(type="webhook", url=receiver.url)
    send_test("webhook")
    assert "Integrity-Signature" not in receiver.got[0]["headers"]


def test_the_receiver_of_the_documentation_knows_a_true_message_from_a_false_and_an_old_one(webhook):
    (snippet,) = re.findall(r"```python\n(import hashlib.*?)```", (ROOT / "docs/alerts.md").read_text(), re.DOTALL)
    documented = {}
    exec(snippet, documented)
    send_test("webhook")
    (got,) = webhook.got
    verify = lambda body, header, **options: documented["is_ours"](SECRET, body, header, **options)  # noqa: E731
    header = got["headers"]["Integrity-Signature"]
    assert verify(got["body"], header)
    assert not verify(got["body"] + b" ", header)
    assert not verify(got["body"], header.replace("v1=", "v1=0"))
    assert not verify(got["body"], header, now=time.time() + 3600)
    assert not verify(got["body"], "")


def test_slack_gets_one_text(declare, receiver):
    declare(type="slack", name="room", url=receiver.url)
    send_test("room")
    assert "*integrity.test* works" in json.loads(receiver.got[0]["body"])["text"]


def test_a_mail_says_what_it_is_about_and_that_no_person_has_written_it(declare):
    declare(type="mail", to=["ops@example.com", "ann@example.com"], prefix="[shop]")
    send_test("mail")
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (["ops@example.com", "ann@example.com"], "[shop] integrity.test works")
    assert sent.extra_headers["Auto-Submitted"] == "auto-generated"


def test_the_log_gets_a_line(declare, caplog):
    declare(type="log", logger="ours")
    caplog.set_level("INFO", logger="ours")
    send_test("log")
    assert "integrity.test works" in caplog.text


def test_an_unknown_channel_is_refused_with_the_known_ones(declare):
    declare(type="log", name="lines")
    with pytest.raises(UnknownName, match=r"Unknown channel of INTEGRITY_ALERTS 'ops'\. Known: lines"):
        send_test("ops")


# What does not


@pytest.mark.parametrize(
    ("status", "for_good"),
    [(400, True), (401, True), (404, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_a_refusal_is_for_good_where_the_request_is_at_fault(webhook, status, for_good):
    webhook.statuses, webhook.body = [status], b"no   such\nhook"
    error = refused()
    assert error.for_good is for_good
    assert re.fullmatch(rf"127.0.0.1:\d+ answered {status} [\w -]+: no such hook", str(error))


def test_a_redirect_is_not_followed(webhook):
    webhook.statuses, webhook.headers, webhook.body = [302], {"Location": webhook.url + "/elsewhere"}, b""
    error = refused()
    assert "answered 302 Found; redirects are not followed" in str(error)
    assert (error.for_good, len(webhook.got)) == (True, 1)


@pytest.mark.parametrize(("asked", "seconds"), [("120", 120), ("soon", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)])
def test_a_receiver_may_ask_to_be_left_alone_for_a_while(webhook, asked, seconds):
    webhook.statuses, webhook.headers = [429], {"Retry-After": asked}
    assert max(refused().after, 0) == seconds


def test_a_receiver_that_does_not_answer_is_given_up(webhook, monkeypatch):
    monkeypatch.setattr(posting, "READ_SECONDS", 0.1)
    webhook.holds.clear()
    assert "did not answer within 0.1 s" in str(refused())


def test_a_receiver_that_answers_for_ever_is_given_up_too(webhook, monkeypatch):
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 0.2)
    webhook.drip = 0.02
    began = time.monotonic()
    assert "did not take it: it took longer than 0.2 s" in str(refused())
    assert time.monotonic() - began < 2


def test_of_an_answer_without_an_end_only_the_beginning_is_read(webhook, monkeypatch):
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 10)
    webhook.statuses, webhook.endless = [500], True
    assert "answered 500" in (told := str(refused()))
    assert len(told) < 400


def test_a_port_where_nobody_listens_is_told(declare):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    declare(type="webhook", url=f"http://127.0.0.1:{port}/")
    error = refused()
    assert (str(error), error.for_good) == (f"127.0.0.1:{port} refused the connection", False)


def test_a_name_that_nobody_knows_is_told(declare):
    declare(type="webhook", url="https://nowhere.invalid/")
    assert str(refused()).startswith("nowhere.invalid is not known")


def test_a_server_that_speaks_something_else_is_told(declare, receiver):
    declare(type="webhook", url=receiver.url.replace("http", "https"))
    assert "could not be reached (SSLError" in str(refused())


def test_a_mail_server_that_refuses_is_told(declare, monkeypatch):
    def refuse(self, messages):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    declare(type="mail", to=["ops@example.com"])
    with pytest.raises(NotDelivered, match="the mail was not taken: ConnectionRefusedError"):
        send_test("mail")


def test_no_secret_is_told(webhook, declare, receiver):
    receiver.statuses = [500]
    declare(type="slack", name="webhook", url=f"{receiver.url}/services/T0/B0/hushhush")
    assert "hushhush" not in str(refused())
    from integrity.alerts.channels import channel

    assert "hushhush" not in repr(channel("webhook")) + channel("webhook").where


# Settings

URL = "https://hooks.example.com/in"
WRONG = {
    "no list": ({"type": "log"}, "INTEGRITY_ALERTS: it is dict, and must be a list", "Such as [{"),
    "no dictionary": (["log"], "INTEGRITY_ALERTS[0]: it is 'log', and must be a dictionary", "Such as"),
    "no type": (
        [{"name": "ops"}],
        "INTEGRITY_ALERTS[0]: the type None is unknown",
        '"mail", "webhook", "slack", "log"',
    ),
    "unknown type": ([{"type": "fax"}], "the type 'fax' is unknown", 'Give "type": one of'),
    "unhashable type": ([{"type": ["log"]}], "the type ['log'] is unknown", 'Give "type": one of'),
    "unknown key": (
        [{"type": "log", "color": 1}],
        "a channel of the type 'log' has no 'color'",
        "Known: name, severity",
    ),
    "no name": ([{"type": "log", "name": ""}], "'name' is '', and must be a text", 'Give "name"'),
    "names": ([{"type": "log"}, {"type": "log"}], "INTEGRITY_ALERTS[1]: two channels are named 'log'", "its own"),
    "severity": (
        [{"type": "log", "severity": "high"}],
        "the severity 'high' is unknown",
        "One of error, warning, info",
    ),
    "app": ([{"type": "log", "apps": ["nowhere"]}], "'apps' names 'nowhere', which no rule has", "Known: "),
    "apps": ([{"type": "log", "apps": "players"}], "'apps' is 'players', and must be a list", 'Give "apps"'),
    "tag": ([{"type": "log", "tags": ["nothing"]}], "'tags' names 'nothing', which no rule has", "Known: "),
    "no url": ([{"type": "webhook"}], "'url' is missing", 'Give "url"'),
    "scheme": ([{"type": "slack", "url": "ftp://x/"}], "'url' begins with 'ftp', and only http and https", "https://"),
    "host": ([{"type": "slack", "url": "https:///x"}], "'url' names no host", "https://host/path"),
    "port": ([{"type": "slack", "url": "https://x:99999/"}], "'url' is no address: Port out of range", "https://"),
    "user": ([{"type": "slack", "url": "https://a:b@x/"}], "'url' holds a user or a password", "Leave them out"),
    "space": ([{"type": "slack", "url": "https://x/a b"}], "'url' holds a character that no address has", "%"),
    "url": ([{"type": "slack", "url": 7}], "'url' is int, and must be a text", "https://"),
    "secret": (
        [{"type": "webhook", "url": URL, "secret": "short"}],
        "'secret' is not a text of at least 16",
        "secrets",
    ),
    "to": ([{"type": "mail", "to": "ops@example.com"}], "'to' is 'ops@example.com', and must be a list", 'Give "to"'),
    "nobody": ([{"type": "mail", "to": []}], "'to' is [], and must be a list", 'Give "to"'),
    "address": ([{"type": "mail", "to": ["ops"]}], "'to' has 'ops', which is no address", "ops@example.com"),
    "prefix": (
        [{"type": "mail", "to": ["a@b.cc"], "prefix": "a\nb"}],
        "'prefix' is 'a\\nb', and must be one",
        "[shop]",
    ),
    "logger": ([{"type": "log", "logger": None}], "'logger' is None, and must be a text", 'Give "logger"'),
}


@pytest.mark.parametrize(("given", "message", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_found_when_django_starts(settings, given, message, hint):
    settings.INTEGRITY_ALERTS = given
    (error,) = run_checks(tags=["integrity"])
    assert error.id == "integrity.E006"
    assert message in error.msg
    assert hint in error.hint


def test_right_settings_are_silent(settings):
    settings.INTEGRITY_ALERTS = [
        {"type": "mail", "to": ["ops@example.com"], "severity": "error", "apps": ["players"]},
        {"type": "webhook", "url": URL, "secret": SECRET},
        {"type": "webhook", "name": "second", "url": "http://127.0.0.1:8080"},
        {"type": "slack", "url": URL},
        {"type": "log"},
    ]
    assert run_checks(tags=["integrity"]) == []


def test_a_wrong_channel_does_not_take_the_others_along(settings, caplog):
    settings.INTEGRITY_ALERTS = [{"type": "fax"}, {"type": "log"}]
    caplog.set_level("INFO")
    send_test("log")
    assert "INTEGRITY_ALERTS[0] is left out: the type 'fax' is unknown" in caplog.text
