"""The next root document: who may do what from now on."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from clumpt.apps.conf_env import Environment, Site
from clumpt.errors import BadInput


def following(env: Environment, site: Site, **changes: Any) -> bytes:
    """
    The root document that follows the one in force, signed.

    @param changes: fields of L{clumpt.trust.root.Root} that are new in it.

    Raises L{BadInput} if it cannot be made here.
    """
    signer = env.keys.root_signer()
    root = site.keyring.root
    if signer is None:
        raise BadInput(f"the root key is not here: bring it to {env.keys.places.root_key}")
    if root.threshold > 1:
        raise BadInput(f"a root document needs {root.threshold} signatures, by the ceremony of docs/trust.md")
    return signer.sign_root(evolve(root, version=root.version + 1, issued=int(env.now()), **changes))


async def publish_root(env: Environment, site: Site, root: bytes) -> int:
    """Bring L{following} into the directory; its version."""
    # Judged as every peer will judge it, before they see it.
    site.keyring.learn_root(root)
    version = site.keyring.version
    await env.directory.add_root(version, root)
    return version
