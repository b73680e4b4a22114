"""How a tool greets the peers that it calls."""

from __future__ import annotations

from clumpt.agent.visitor import Greeting
from clumpt.aio import deferred
from clumpt.errors import IdentityError
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory, IKeyring
from clumpt.model import PeerName


@deferred
async def greeting(directory: IDirectory, keyring: IKeyring, name: PeerName) -> Greeting:
    """
    How the tool C{name} greets peers: at the directory's head, so that nobody thinks it lacks something.

    Fails with L{IdentityError} if it is not enrolled, and as the directory does.
    """
    own = await directory.peer(name)
    if own is None:
        raise IdentityError(f"the directory does not know {name}; clumptconf publish makes it known")
    head = await directory.head()
    newest = await directory.updates(IdSet([(head, head)])) if head else []
    top = keyring.kept(newest[0]).digest if newest else keyring.origin
    return keyring.deployment, head if newest else 0, top, own.member
