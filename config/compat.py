"""What Django 6 brings and 5.2 lacks: the Content-Security-Policy header."""

from collections.abc import Callable, Mapping, Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

Policy = Mapping[str, Sequence[str]]
Respond = Callable[[HttpRequest], HttpResponseBase]

try:
    from django.middleware.csp import ContentSecurityPolicyMiddleware
except ImportError:

    class ContentSecurityPolicyMiddleware:  # type: ignore[no-redef]
        """The same header from the same settings; without nonces, as no page of ours has an inline script."""

        def __init__(self, get_response: Respond) -> None:
            self.get_response = get_response

        def __call__(self, request: HttpRequest) -> HttpResponseBase:
            response = self.get_response(request)
            policy = getattr(response, "_csp_config", settings.SECURE_CSP)
            if policy:
                response.headers.setdefault("Content-Security-Policy", _header(policy))
            return response


def _header(policy: Policy) -> str:
    return "; ".join(f"{directive} {' '.join(sources)}".rstrip() for directive, sources in policy.items())


class PolicyByPath:
    """Gives the pages below a path of `SECURE_CSP_BY_PATH` the policy written there; all others keep SECURE_CSP."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for path, policy in settings.SECURE_CSP_BY_PATH.items():
            if request.path_info.startswith(path):
                response._csp_config = policy  # type: ignore[attr-defined]
        return response


__all__ = ["ContentSecurityPolicyMiddleware", "Policy", "PolicyByPath"]
