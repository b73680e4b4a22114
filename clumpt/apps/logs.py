"""What is logged, and how it looks: named so that twistd can be told by a dotted name."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    jsonFileLogObserver,
    textFileLogObserver,
)

from clumpt.apps.oneshot import nowhere

_FORMATS = {"text": textFileLogObserver, "json": jsonFileLogObserver}


def _observer(kind: str, level: str) -> ILogObserver:
    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(level))
    return FilteringLogObserver(_FORMATS[kind](sys.__stderr__ or nowhere()), [predicate])


def _levels(kind: str) -> SimpleNamespace:
    return SimpleNamespace(
        **{level: partial(_observer, kind, level) for level in ("debug", "info", "warn", "error")}
    )


#: For example C{clumpt.apps.logs.json.warn}.
text = _levels("text")
json = _levels("json")
