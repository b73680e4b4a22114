"""The commands of the paper, as console scripts over the same service makers that twistd uses."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

from twisted.application import app, service
from twisted.logger import ILogObserver, globalLogBeginner, textFileLogObserver
from twisted.python.reflect import namedAny
from twisted.python.usage import Options

from clumpt.apps.oneshot import OneShot, OneShotOptions, last_words, message, nowhere, status_of
from clumpt.errors import ClumptError


def clumpt() -> NoReturn:
    """Submit updates and follow them."""
    run("clumpt.apps.submit", sys.argv[1:])


def clumptconf() -> NoReturn:
    """Add and change peers."""
    run("clumpt.apps.conf", sys.argv[1:])


def directory() -> NoReturn:
    """Run a small LDAP directory."""
    run("clumpt.apps.directory", sys.argv[1:])


def clumptd() -> None:
    """Run a peer in the foreground: C{twistd --nodaemon --pidfile= clumpt ARGUMENTS}."""
    from twisted.scripts import twistd

    sys.argv[1:] = ["--nodaemon", "--pidfile=", "clumpt", *sys.argv[1:]]
    twistd.run()


def run(module: str, arguments: list[str]) -> NoReturn:
    """Do what twistd would do with the service of C{module}, and end with its status."""
    named = import_module(module)
    options = named.Options()
    options.parseOptions(arguments)
    application = service.Application("clumpt")
    try:
        made = named.makeService(options)
        _log(options, made)
        made.setServiceParent(application)
        app.startApplication(application, False)
    except ClumptError as wrong:
        sys.stderr.write(message(str(wrong)))
        raise SystemExit(int(status_of(wrong))) from None
    from twisted.internet import reactor

    reactor.run()  # type: ignore[attr-defined]  # the module stands for the reactor that is installed
    raise SystemExit(last_words(made) if isinstance(made, OneShot) else 0)


def _log(options: Options, made: service.IService) -> None:
    """A tool keeps quiet unless something is wrong; a daemon tells what it does."""
    observer: ILogObserver = (
        namedAny(options.logger)()
        if isinstance(made, OneShot) and isinstance(options, OneShotOptions)
        else textFileLogObserver(sys.__stderr__ or nowhere())
    )
    globalLogBeginner.beginLoggingTo([observer])
