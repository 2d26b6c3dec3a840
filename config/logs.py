"""How the log is written: a line for people, or JSON for programs, with the fields that a record brings either way.

structlog is loaded with the first record: most commands have nothing to tell, and should not wait for it.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-Id"
LINE, JSON = "line", "json"
STYLES = (LINE, JSON)
LOGGERS = ("django", "django_structlog", "integrity", "procrastinate")


def configure(style: str, level: str) -> dict[str, Any]:
    """Django's LOGGING: to stderr, where a service manager or a container takes it. Raises ImproperlyConfigured.

    Each record has time, level, logger and event; within a request also its id and the user's; of a run also its
    number, verb and actor.
    """
    if style not in STYLES:
        raise ImproperlyConfigured(f"LOG_FORMAT={style!r}: known are {', '.join(STYLES)}.")
    if level not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(f"LOG_LEVEL={level!r}: known are DEBUG, INFO, WARNING, ERROR and CRITICAL.")
    # Django's own default is silent about a failed request unless DEBUG is on.
    loggers: dict[str, Any] = {name: {"handlers": ["stderr"], "level": level} for name in LOGGERS}
    # Each process tells at its start which tasks it knows.
    loggers["procrastinate.blueprints"] = {"level": "WARNING"}
    # What is not found has been told by then, with the id of its request.
    loggers["django.request"] = {"level": "ERROR"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": Formatter, "style": style}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
        "loggers": loggers,
    }


class Formatter(logging.Formatter):
    """One of STYLES."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.called = style

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return _formatter(self.called).format(record)


@cache
def _formatter(style: str) -> logging.Formatter:
    import structlog

    _connect()
    shown: dict[str, list[Any]] = {
        LINE: [
            _only_the_sentence,
            # Rich would print the values of all variables.
            structlog.dev.ConsoleRenderer(
                colors=False, pad_event_to=0, pad_level=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        JSON: [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)],
    }
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown[style]],
        # For records of the standard library: the engine's and Django's.
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_shared()],
    )


@cache
def _connect() -> None:
    """Let what is told to structlog go the way of the standard library."""
    import structlog

    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


@cache
def _shared() -> tuple[Any, ...]:
    import structlog

    return (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    )


def _only_the_sentence(logger: Any, method: str, fields: dict[str, Any]) -> dict[str, Any]:
    """What happened to a run is told by a sentence; its fields would say it again."""
    if fields["logger"] != "integrity":
        return fields
    kept = ("timestamp", "level", "logger", "event", "exc_info", "request_id", "user_id")
    return {name: fields[name] for name in kept if name in fields}


class TellRequestId:
    """Answers tell the id that the log has of their request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        _connect()
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        from structlog.contextvars import get_contextvars

        response = self.get_response(request)
        response[HEADER] = get_contextvars().get("request_id", "")
        return response
