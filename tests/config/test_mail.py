"""One address of a mail server becomes the settings of either Django."""

import django
import environ
import pytest
from django.core import mail

from config.mail import SMTP, settings_of

OLD = django.VERSION < (6, 1)


def settings_for(monkeypatch, url):
    monkeypatch.setenv("EMAIL_URL", url)
    return settings_of(environ.Env().email_url("EMAIL_URL"))


def test_a_server_with_a_password(monkeypatch):
    found = settings_for(monkeypatch, "smtp+tls://ann:secret@mail.example.org:587")
    if OLD:
        assert found == {
            "EMAIL_BACKEND": SMTP,
            "EMAIL_HOST": "mail.example.org",
            "EMAIL_PORT": 587,
            "EMAIL_HOST_USER": "ann",
            "EMAIL_HOST_PASSWORD": "secret",
            "EMAIL_USE_TLS": True,
        }
    else:
        options = {"host": "mail.example.org", "port": 587, "username": "ann", "password": "secret", "use_tls": True}
        assert found == {"MAILERS": {"default": {"BACKEND": SMTP, "OPTIONS": options}}}


def test_a_folder_that_mails_are_written_to(monkeypatch):
    found = settings_for(monkeypatch, "filemail:////var/mails")
    if OLD:
        assert found["EMAIL_FILE_PATH"] == "/var/mails"
    else:
        assert found["MAILERS"]["default"]["OPTIONS"] == {"file_path": "/var/mails"}


@pytest.mark.parametrize("url", ["smtp://localhost:25", "consolemail://", "dummymail://"])
def test_django_takes_them(monkeypatch, settings, url):
    for name, value in settings_for(monkeypatch, url).items():
        setattr(settings, name, value)
    assert (mail.get_connection() if OLD else mail.mailers.default) is not None
