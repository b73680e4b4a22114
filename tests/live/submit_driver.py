"""The submit tool, killed at a step: C{submit_driver.py STEP WORD...} with the words of clumpt."""

import os
import signal
import sys
from typing import Any

from clumpt.agent.submission import Submission
from clumpt.apps import scripts
from clumpt.apps.submitting import Submitter

#: Before which call of which class, in the order in which they come.
STEPS: dict[str, tuple[type[Any], str]] = {
    "open": (Submitter, "open"),
    "register": (Submitter, "register"),
    "add": (Submitter, "_add"),
    "seed": (Submitter, "seed"),
    "serve": (Submission, "hashes_wanted"),
    "piece": (Submission, "piece_wanted"),
    "received": (Submission, "_holds"),
}


def die(*words: object) -> None:
    """As if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    kind, name = STEPS[sys.argv[1]]
    setattr(kind, name, die)
    sys.argv[1:] = sys.argv[2:]
    scripts.clumpt()
