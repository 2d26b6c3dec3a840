"""The router that all operations of the engine are added to."""

from ninja import Router

from integrity.api.operation import Operations

router = Router(tags=["integrity"])
operations = Operations(router)
