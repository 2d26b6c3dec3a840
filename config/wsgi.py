import os

from config import embedded_postgres

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
embedded_postgres.provide()

from django.core.wsgi import get_wsgi_application  # noqa: E402  (the database must be there first)

application = get_wsgi_application()
