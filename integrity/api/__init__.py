"""The engine's API, a router that any project with django-ninja mounts: ``api.add_router("/integrity", router)``.

``integrity.api.problems.answer_problems(api)`` lets it answer refusals as problems (RFC 9457).
"""

from ninja import Router

router = Router(tags=["integrity"])

__all__ = ["router"]
