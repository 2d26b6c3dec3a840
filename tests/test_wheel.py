"""The wheel in a project that knows nothing of this one: its tables, and two of its tables that become one."""

import re
import subprocess
import zipfile

import pytest

from tests import foreign
from tests.test_documentation import README, ROOT, fenced, python_file

SETTINGS = """
import os
from psycopg.conninfo import conninfo_to_dict
given = conninfo_to_dict(os.environ["DATABASE_URL"])
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "pgtrigger", "integrity", "people"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": given["dbname"], "HOST": given.get("host"),
    "PORT": given.get("port"), "USER": given.get("user"), "PASSWORD": given.get("password", ""),
}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "only for tests"
USE_TZ = True
"""
MODELS = """
from django.contrib.auth.models import User
from django.db import models

class Profile(models.Model):
    user = models.OneToOneField(User, models.CASCADE)
    city = models.CharField(max_length=100)
    updated_at = models.DateTimeField(auto_now=True)

class OldProfile(models.Model):
    owner = models.OneToOneField(User, models.CASCADE)
    town = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

class Badge(models.Model):
    profile = models.ForeignKey(OldProfile, models.CASCADE)
"""
WORLD = """
from django.contrib.auth.models import User
from people.models import Badge, OldProfile, Profile
import integrity
for number in range(5):
    user = User.objects.create(username=f"user {number}")
    if number < 3:
        Profile.objects.create(user=user, city=f"new {number}")
    if number > 0:
        Badge.objects.create(profile=OldProfile.objects.create(owner=user, town=f"old {number}"))
print(integrity.__file__)
"""
TOLD = """
from django.db import connection
from people.models import Profile
with connection.cursor() as cursor:
    cursor.execute("SELECT to_regclass('people_oldprofile') IS NOT NULL")
    print(sorted(Profile.objects.values_list("city", flat=True)), *cursor.fetchone())
"""


@pytest.fixture
def wheel(tmp_path):
    """What is in it, in a folder; built as `make wheel` does."""
    done = subprocess.run(
        ["make", "wheel", f"ARGS=--quiet --out-dir {tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "Failed to fetch" in done.stderr:
        pytest.skip("what builds a wheel can be had neither from an index nor from a cache")
    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "wheel")
    return tmp_path / "wheel"


def typed():
    """The console of the README: (what is typed, the exit code)."""
    consoles = [lines for language, lines in fenced(README) if language == "console"]
    (console,) = [lines for lines in consoles if "people.profiles_agree" in lines[0]]
    return [re.fullmatch(r"\$ (.*?) +# exit code (\d)(?:;.*)?", line).groups() for line in console]


def test_two_tables_of_a_foreign_project_become_one_and_two_again_as_the_readme_says(wheel, tmp_path):
    project = tmp_path / "project"
    (project / "people").mkdir(parents=True)
    (project / "people/__init__.py").touch()
    (project / "settings.py").write_text(SETTINGS)
    (project / "people/models.py").write_text(MODELS)
    (project / "people/rules.py").write_text(python_file("people/rules.py"))
    before = ["manage.py makemigrations people --verbosity 0", "manage.py migrate --verbosity 0", WORLD, TOLD]
    phases = [line for line, _ in typed()]
    with foreign.database("wheel") as url:
        lines = [*before, *(line for phase in phases for line in (phase, TOLD)), "manage.py check"]
        (_, found), (_, at_first), *done, checked = foreign.answers(project, url, lines, path=wheel)[2:]
    assert found.strip().startswith(str(wheel))
    assert [code for code, _ in done[::2]] == [int(code) for _, code in typed()], done
    assert checked[0] == 0
    states = [state for _, state in done[1::2]]
    assert states[0] == at_first == "['new 0', 'new 1', 'new 2'] True\n"
    copied = "['new 0', 'old 1', 'old 2', 'old 3', 'old 4']"
    assert states[1:5] == [f"{copied} True\n"] * 3 + [f"{copied} False\n"]
    assert states[-1] == at_first
