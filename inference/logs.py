"""Log lines: one JSON object a line on standard error, where SageMaker collects them.

Never in a line: a client's values. They may be personal, and logs live longer than requests.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson


class JsonLines(logging.Formatter):
    """Formats a record as one line: time, level, pid, event, its fields and its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line. Fields come from ``extra={"fields": {…}}``."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "pid": record.process,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stderr",
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"inference": {"level": "INFO"}},
}
"""For `logging.config.dictConfig`."""


def config(level: int) -> dict[str, Any]:
    """CONFIG with `level` for the server's own events; other libraries speak from WARNING on."""
    return {**CONFIG, "loggers": {**CONFIG["loggers"], "inference": {"level": level}}}


def event(logger: logging.Logger, level: int, name: str, **fields: object) -> None:
    """Log the event `name` with its fields."""
    logger.log(level, name, extra={"fields": fields})
