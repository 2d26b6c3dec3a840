"""Everything that differs between machines comes from the environment and stands at the top."""

from pathlib import Path
from typing import Any

import environ

from config import database_url

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="only-for-trial-and-tests-set-SECRET_KEY-in-production")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
DATABASE_URL = env.str("DATABASE_URL", default="postgres:///holdtrue")
TIME_ZONE = env.str("TIME_ZONE", default="UTC")

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.postgres",
    "pgtrigger",
    "django_cte",
    "integrity",
    "players",
]
MIDDLEWARE: list[str] = []
DATABASES: dict[str, Any] = {"default": database_url.parse(DATABASE_URL)}
