"""The engine works where nothing is installed but what it needs."""

import subprocess
import sys

MADE_FOR = {
    ("integrity.api", "ninja"),
    ("integrity.metrics", "prometheus_client"),
    ("integrity.tasks", "procrastinate"),
}
WITHOUT = """
import pkgutil, sys
from importlib import import_module

OPTIONAL = ("ninja", "unfold", "procrastinate", "structlog", "django_structlog", "prometheus_client")

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in OPTIONAL:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Lacking())
from django.conf import settings
django_apps = [f"django.contrib.{app}" for app in ("contenttypes", "auth", "admin")]
settings.configure(INSTALLED_APPS=[*django_apps, "integrity"])
import django
django.setup()
import integrity
for module in pkgutil.walk_packages(integrity.__path__, "integrity."):
    if ".migrations." in module.name:
        continue
    try:
        import_module(module.name)
    except ModuleNotFoundError as lacking:
        print(module.name, lacking.name)
"""


def test_every_module_but_those_made_for_an_option_can_be_imported_without_it():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lacking = [line.split() for line in done.stdout.splitlines()]
    assert {(".".join(module.split(".")[:2]), package) for module, package in lacking} == MADE_FOR
