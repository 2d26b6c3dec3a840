"""Everything that differs between machines comes from the environment and stands at the top."""

from pathlib import Path
from typing import Any

import environ

from config import alerts, checks, database_url, logs, mail

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default=checks.PUBLIC_SECRET_KEY)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
DATABASE_URL = env.str("DATABASE_URL", default="postgres:///holdtrue")
TIME_ZONE = env.str("TIME_ZONE", default="UTC")

# Served over TLS: plain requests are redirected, cookies are marked secure, browsers remember it for so many seconds.
HTTPS = env.bool("HTTPS", default=False)
HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000)
# TLS ends at a proxy, which sets X-Forwarded-Proto itself whatever a visitor sends.
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

PLAIN_ADMIN = env.bool("PLAIN_ADMIN", default=False)

# What one report may add, and what one key, or one address without a key, may ask in a minute (0: without limit).
MAX_DISTANCE_KM = env.str("MAX_DISTANCE_KM", default="100")
KEY_REQUESTS_PER_MINUTE = env.int("KEY_REQUESTS_PER_MINUTE", default=6_000)
ADDRESS_REQUESTS_PER_MINUTE = env.int("ADDRESS_REQUESTS_PER_MINUTE", default=600)

# Growth of an odometer above this, for each day that passed, is an anomaly.
MAX_MILES_PER_DAY = env.int("MAX_MILES_PER_DAY", default=1_500)

# How much is logged to stderr, and whether as lines for people or as JSON for programs.
LOG_LEVEL = env.str("LOG_LEVEL", default="WARNING")
LOG_FORMAT = env.str("LOG_FORMAT", default="line")

# Where mails go, such as smtp+tls://user:password@host:587; consolemail:// prints them.
EMAIL_ADDRESS = env.email_url("EMAIL_URL", default="smtp://localhost:25")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="holdtrue@localhost")

# Whom alerts reach beside the log, and where the site is served that they lead to.
SITE_URL = env.str("SITE_URL", default="")
ALERT_MAIL_TO = env.list("ALERT_MAIL_TO", default=[])
ALERT_SLACK_URL = env.str("ALERT_SLACK_URL", default="")
ALERT_WEBHOOK_URL = env.str("ALERT_WEBHOOK_URL", default="")
ALERT_WEBHOOK_SECRET = env.str("ALERT_WEBHOOK_SECRET", default="")

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
USE_I18N = False
FORMAT_MODULE_PATH = "config.formats"
USE_TZ = True

INSTALLED_APPS = [
    # One setting takes the themed admin away; the stock admin shows the same pages.
    *([] if PLAIN_ADMIN else ["unfold"]),
    "django.contrib.admin",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "ninja",
    "pgtrigger",
    "procrastinate.contrib.django",
    "django_cte",
    "integrity",
    "players",
    "vehicles",
    "teams",
    "stats",
    "stats.legacy",
]
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / ".data" / "static")))
STATICFILES_DIRS = [BASE_DIR / "config" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
MIDDLEWARE = [
    "django_structlog.middlewares.RequestMiddleware",
    "config.logs.TellRequestId",
    "django.middleware.security.SecurityMiddleware",
    "config.compat.ContentSecurityPolicyMiddleware",
    "config.compat.PolicyByPath",
    # Files are served from where `collectstatic` puts them; before it has run there is nothing to serve.
    *(["whitenoise.middleware.WhiteNoiseMiddleware"] if STATIC_ROOT.is_dir() else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
PLAYERS = {
    "MAX_DISTANCE_KM": MAX_DISTANCE_KM,
    "KEY_REQUESTS_PER_MINUTE": KEY_REQUESTS_PER_MINUTE,
    "ADDRESS_REQUESTS_PER_MINUTE": ADDRESS_REQUESTS_PER_MINUTE,
    # The proxy in front appends the address that it sees; without one anybody could write what suits them.
    "TRUSTED_PROXIES": 1 if BEHIND_PROXY else 0,
}
# The engine's API counts requests as that of the bikes does.
INTEGRITY: dict[str, Any] = {
    "API_LIMIT": "config.auth.count",
    "URL": SITE_URL,
    # The rules of players say it themselves.
    "SCHEDULES": {"vehicles": "1h", "stats": "1d", "teams": "30 4 * * *"},
}
INTEGRITY_ALERTS = alerts.channels(
    mail_to=ALERT_MAIL_TO,
    slack_url=ALERT_SLACK_URL,
    webhook_url=ALERT_WEBHOOK_URL,
    webhook_secret=ALERT_WEBHOOK_SECRET,
)
VEHICLES = {"MAX_MILES_PER_DAY": MAX_MILES_PER_DAY}
globals().update(mail.settings_of(EMAIL_ADDRESS))
DATABASES: dict[str, Any] = {"default": database_url.parse(DATABASE_URL)}

LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_REFERRER_POLICY = "same-origin"
# Whether every host of the domain speaks TLS, and for ever, is not for one site of it to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
X_FRAME_OPTIONS = "DENY"

# Everything comes from this host, nothing is inline.
STRICT: dict[str, list[str]] = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "font-src": ["'self'"],
    "connect-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}
# The themed admin evaluates the expressions in its attributes and writes its colours into the page.
THEMED = {"script-src": ["'self'", "'unsafe-eval'"], "style-src": ["'self'", "'unsafe-inline'"]}
SECURE_CSP = STRICT
SECURE_CSP_BY_PATH = {"/admin/": STRICT if PLAIN_ADMIN else STRICT | THEMED}

TEAL = {
    "50": "oklch(97.5% .015 180)",
    "100": "oklch(94% .035 180)",
    "200": "oklch(89% .06 180)",
    "300": "oklch(82% .085 180)",
    "400": "oklch(72% .095 180)",
    "500": "oklch(60% .09 180)",
    "600": "oklch(48% .082 178)",
    "700": "oklch(42% .072 178)",
    "800": "oklch(36% .06 178)",
    "900": "oklch(31% .05 178)",
    "950": "oklch(22% .035 178)",
}
UNFOLD = {
    "SITE_TITLE": "Holdtrue",
    "SITE_HEADER": "Holdtrue",
    "SITE_SYMBOL": "verified",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/holdtrue/icon.svg"}],
    "COLORS": {"primary": TEAL},
}

LOGGING = logs.configure(LOG_FORMAT, LOG_LEVEL)
# A visitor could write any address or id into the headers; the proxy in front writes its own.
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = BEHIND_PROXY
