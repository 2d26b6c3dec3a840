"""What must be true of the settings before strangers may reach the site; `manage.py check --deploy` asks."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

PUBLIC_SECRET_KEY = "only-for-trial-and-tests-set-SECRET_KEY-in-production"  # noqa: S105  (it hides nothing)
WAY_OUT = (
    "set SECRET_KEY in the environment to a random one, from"
    " `python -c 'import secrets; print(secrets.token_urlsafe(50))'` say."
)


def has_public_key() -> bool:
    """Whether sessions are signed with the key that everybody can read in the repository."""
    return bool(settings.SECRET_KEY == PUBLIC_SECRET_KEY and not settings.DEBUG)


@register(Tags.security, deploy=True)
def secret_key_is_secret(**_: Any) -> list[Error]:
    """E001: the default key signs nothing in production."""
    if not has_public_key():
        return []
    return [
        Error("SECRET_KEY is the one that is written in the settings.", hint=f"To mend it, {WAY_OUT}", id="config.E001")
    ]


def require_secret_key() -> None:
    """Refuse to serve with the default key: whoever knows it can sign a session for any account.

    Raises ImproperlyConfigured.
    """
    if has_public_key():
        raise ImproperlyConfigured(f"SECRET_KEY is unset, and the default one is public: {WAY_OUT}")
