"""A tiny tool, to see as a process what clumpt.apps.oneshot promises."""

import json
from functools import partial
from typing import Any, TextIO

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clumpt.aio import deferred, sleep
from clumpt.apps.oneshot import OneShotOptions, one_shot
from clumpt.errors import BadInput, DirectoryUnavailable


class Options(OneShotOptions):
    def parseArgs(self, what: str, status: str = "0") -> None:
        if what == "wrong":
            raise BadInput("not this")
        self["what"], self["status"] = what, int(status)


class Daemon(Service):
    """No tool at all."""

    def startService(self) -> None:
        from twisted.internet import reactor

        reactor.callWhenRunning(Logger().info, "at your service")


def makeService(options: Options) -> Service:
    if options["what"] == "unmade":
        raise DirectoryUnavailable("no answer from ldap2; is it up?")
    if options["what"] == "daemon":
        return Daemon()
    return one_shot(options, partial(main, options))


@deferred
async def main(options: Options, reactor: Any, stdout: TextIO) -> int:
    log = Logger()
    log.info("not to be seen")
    log.warn("seen")
    print("this goes to the log")
    match options["what"]:
        case "end":
            await sleep(reactor, 0)
        case "wait":
            stdout.write("waiting\n")
            stdout.flush()
            try:
                await Deferred()
            finally:
                await sleep(reactor, 0)
                stdout.write("cleaned up\n")
        case "lines":
            stdout.write("line\n" * 100_000)
        case "unavailable":
            raise DirectoryUnavailable("no answer from ldap1; is it up?")
        case "bug":
            raise ZeroDivisionError
    stdout.write(json.dumps({"clock": reactor.seconds()}) + "\n")
    return int(options["status"])
