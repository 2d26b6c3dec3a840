"""Simulated bikes report as real ones do, and say what went wrong."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from players import test_data
from players.models import ApiKey, OpenSession
from players.test_data import figures, live
from tests.command_line import manage, process
from tests.players.test_load_test_data import differences


class Stub(BaseHTTPRequestHandler):
    """Notes what it is sent, and answers as it is told to; None hangs up."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.headers["Idempotency-Key"], self.headers["X-Api-Key"], body))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status is None:
            self.close_connection = True
            return
        content = b'{"skipped": false}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def stub(*statuses):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.statuses, server.seen = list(statuses), []
    server.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ride(server, *words):
    return manage("load_test_data", "--live", "--url", server.url, "--key", "k", "--seconds", 1, "--bikes", 1, *words)


@pytest.mark.django_db(transaction=True)
def test_bikes_ride_on_a_real_server_and_everything_adds_up(live_server):
    test_data.load(players=75, days=2)
    words = ("--url", live_server.url, "--bikes", 6, "--seconds", 2, "--pause", 0.2)
    done = process("load_test_data", "--live", *words)
    assert done.code == 0, done.words
    assert "0 failed" in done.out
    assert OpenSession.objects.filter(device__name__in=[bike.device for bike in live.bikes_of(1, 6)]).count() == 6
    assert not ApiKey.objects.exists()
    assert differences() == {}


def test_a_report_without_an_answer_is_repeated_with_its_key():
    with stub(None, None, 200) as server:
        done = ride(server, "--pause", 0.1)
    assert done.code == 0, done.words
    assert "2 repeated" in done.out
    keys = [key for key, _, _ in server.seen]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_each_report_has_a_key_of_its_own_and_a_little_distance():
    with stub() as server:
        ride(server, "--pause", 0.1)
    assert len({key for key, _, _ in server.seen}) == len(server.seen) > 2
    _, key, body = server.seen[0]
    assert key == "k"
    assert body["device_id"] == "Harbour School 1a bike 1 (test-1)"
    assert 0 < float(body["distance"]) < 1


def test_a_failed_report_makes_the_command_fail_and_is_counted_by_status():
    with stub(200, 429, 429, 503) as server:
        done = ride(server, "--pause", 0.1)
    assert done.code == 3
    assert "Failed: 2 with 429, 1 with 503. The first:" in done.words


def test_no_two_bikes_share_a_rider():
    riders = [rider for bike in live.bikes_of(1, 12) for rider in bike.riders]
    assert len(riders) == len(set(riders)) == 4 * figures.CLASS_SIZE


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bikes", 3], "--bikes needs --live."),
        (["--key", "k", "--seconds", 3], "--seconds, --key needs --live."),
        (["--live", "--url", "ftp://here"], "--url takes an address such as http://127.0.0.1:8000, not 'ftp://here'."),
        (["--live", "--url", "http://127.0.0.1:1"], "cannot be reached"),
        (["--live", "--bikes", 0], "--bikes takes 1 to 1000, not 0."),
        (["--live", "--seconds", 0], "--seconds takes 1 to 86400, not 0."),
        (["--live", "--pause", -1], "--pause takes 0 to 3600, not -1.0."),
    ],
)
def test_what_cannot_be_asked_is_refused(words, message):
    done = manage("load_test_data", *words)
    assert done.code == 2
    assert message in done.words


@pytest.mark.django_db
def test_more_bikes_than_there_are_are_refused_with_the_way_out():
    with stub() as server:
        done = manage("load_test_data", "--live", "--url", server.url, "--bikes", 4)
    assert done.code == 2
    assert "run `manage.py load_test_data --players 50` first" in done.words
