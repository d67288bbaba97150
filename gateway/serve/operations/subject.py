"""What an operation is asked about: the resource whose address it was asked at, one sent along, or neither."""

from __future__ import annotations

from gateway import access, errors
from gateway.access import Actor, Read
from gateway.formats import json
from gateway.model import Resource
from gateway.serve.asking import Asking
from gateway.serve.operations.inputs import Inputs
from gateway.serve.permitted import PermittedStore
from gateway.store.port import Version


async def stored(store: PermittedStore, actor: Actor, resource_type: str, resource_id: str) -> Version:
    """Return the current version of a resource. Raises NotPermitted, NotFound, Gone."""
    version = await store.read(access.decide(actor, Read(resource_type, resource_id)))
    if version is None:
        raise errors.NotFound("there is no such resource")
    if version.deleted:
        raise errors.Gone("this resource was deleted")
    return version


async def subject(
    store: PermittedStore, actor: Actor, asking: Asking, given: Inputs, sent: str, url: str = "url"
) -> Resource | None:
    """Return the resource of the address, or the parameter `sent`; None where the parameter `url` names it.

    Raises Incorrect unless exactly one of the three says what is meant.
    """
    if asking.matched.id:
        if given.part(sent) is not None or given.text(url):
            raise errors.Incorrect(f"the address says already which is meant; {url} and {sent} are not given", at=url)
        version = await stored(store, actor, asking.matched.type, asking.matched.id)
        read: Resource = json.loads(version.body)
        return read
    resource = given.part(sent)
    if (resource is None) == (not given.text(url)):
        raise errors.Incorrect(f"either {url} or {sent} says what is meant", at=url)
    return resource
