"""Where mails go, in the settings that the installed Django reads: EMAIL_* until 6.0, MAILERS from 6.1 on."""

from typing import Any

import django

SMTP = "django.core.mail.backends.smtp.EmailBackend"
OPTIONS = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
}


def settings_of(url: dict[str, Any]) -> dict[str, Any]:
    """The settings by name, of what `env.email_url` made of an address."""
    backend = url["EMAIL_BACKEND"]
    given = {name: url[name] for name in OPTIONS.values() if url.get(name) is not None}
    if django.VERSION < (6, 1):
        return {"EMAIL_BACKEND": backend} | given
    # A backend that only prints or keeps mails takes no options.
    options = {option: given[name] for option, name in OPTIONS.items() if name in given} if backend == SMTP else {}
    return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
