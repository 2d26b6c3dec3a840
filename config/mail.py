"""Where mails go, in the settings that the installed Django reads: EMAIL_* until 6.0, MAILERS from 6.1 on."""

from typing import Any

import django

SMTP = "django.core.mail.backends.smtp.EmailBackend"
FILES = "django.core.mail.backends.filebased.EmailBackend"
OPTIONS = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
}
FILE_OPTIONS = {"file_path": "EMAIL_FILE_PATH"}


def settings_of(url: dict[str, Any]) -> dict[str, Any]:
    """The settings by name, of what `env.email_url` made of an address."""
    backend = url["EMAIL_BACKEND"]
    # A backend that only prints or keeps mails takes no options.
    taken = {SMTP: OPTIONS, FILES: FILE_OPTIONS}.get(backend, {})
    options = {option: url[name] for option, name in taken.items() if url.get(name) is not None}
    if django.VERSION < (6, 1):
        return {"EMAIL_BACKEND": backend} | {taken[option]: given for option, given in options.items()}
    return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
