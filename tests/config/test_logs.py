"""The log: lines for people or JSON for programs, with the request that a record belongs to."""

import io
import json
import logging
import logging.config
import uuid

import pytest
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from config import logs


@pytest.fixture
def log():
    """A function that switches the log on and answers where it is written to."""
    before = {name: list(logging.getLogger(name).handlers) for name in logs.LOGGERS}
    levels = {name: logging.getLogger(name).level for name in logs.LOGGERS}
    out = io.StringIO()

    def configure(style, level="INFO"):
        wanted = logs.configure(style, level)
        wanted["handlers"]["stderr"]["stream"] = out
        logging.config.dictConfig(wanted)
        return out

    yield configure
    for name in logs.LOGGERS:
        logging.getLogger(name).handlers, logging.getLogger(name).level = before[name], levels[name]
    structlog.contextvars.clear_contextvars()


def objects(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_has_the_fields_of_a_record(log):
    out = log("json")
    logging.getLogger("integrity").info("run 7 ended", extra={"run": 7, "action": "run_closed"})
    (line,) = objects(out)
    assert (line["event"], line["run"], line["level"], line["logger"]) == ("run 7 ended", 7, "info", "integrity")
    assert line["timestamp"].endswith("Z")


def test_a_line_for_people_says_the_sentence_alone(log):
    out = log("line")
    logging.getLogger("integrity").info("run 7 ended", extra={"run": 7, "action": "run_closed"})
    assert out.getvalue().endswith(" [info] run 7 ended [integrity]\n")


@pytest.mark.parametrize("style", logs.STYLES)
def test_an_exception_is_told_without_the_values_of_its_variables(log, style):
    out = log(style)
    secret = "hunter" + "2"
    try:
        int(secret[:6])
    except ValueError:
        logging.getLogger("integrity").exception("failed")
    assert "ValueError: invalid literal" in out.getvalue()
    assert "hunter2" not in out.getvalue()


@pytest.mark.django_db
def test_a_request_and_its_records_have_one_id_which_the_answer_tells(log):
    out = log("json")
    answer = Client().get("/api/health-of-nothing")
    uuid.UUID(answer[logs.HEADER])
    assert {line["request_id"] for line in objects(out)} == {answer[logs.HEADER]}
    assert {"request_started", "request_finished"} <= {line["event"] for line in objects(out)}


@pytest.mark.django_db
def test_an_id_that_a_visitor_makes_up_is_not_taken(log):
    log("json")
    assert Client().get("/api/openapi.json", headers={"X-Request-Id": "mine"})[logs.HEADER] != "mine"


@pytest.mark.parametrize(("name", "value"), [("LOG_FORMAT", "yaml"), ("LOG_LEVEL", "LOUD")])
def test_a_wrong_setting_is_told_with_the_known_ones(name, value):
    style, level = (value, "INFO") if name == "LOG_FORMAT" else ("json", value)
    with pytest.raises(ImproperlyConfigured, match=f"{name}='{value}': known are"):
        logs.configure(style, level)
