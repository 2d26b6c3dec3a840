"""The documentation is true: all there is stands in it, its command lines parse, and its example is run."""

import ast
import contextlib
import io
import json
import re
import shlex
from argparse import _SubParsersAction
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

import integrity
from integrity import statuses
from integrity.conf import Conf
from integrity.registry import registry
from tests import foreign

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
ALL = "\n".join(PAGES.values())
WORLD = """
from shop.models import Order
for total, amounts in [(25, [10, 15]), (30, [10, 15]), (7, [7])]:
    order = Order.objects.create(total=total)
    for amount in amounts:
        order.lines.create(amount=amount)
"""
SETTINGS = """
import os
from config import database_url
INSTALLED_APPS = ["integrity", "shop"]
DATABASES = {"default": database_url.parse(os.environ["DATABASE_URL"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "only for tests"
"""


def parser_of(command):
    return load_command_class(get_commands()[command], command).create_parser("manage.py", command)


def verbs():
    (action,) = [a for a in parser_of("integrity")._actions if isinstance(a, _SubParsersAction)]
    return action.choices


def check_ids():
    sources = "\n".join(path.read_text() for path in (ROOT / "integrity").rglob("*.py"))
    return sorted(set(re.findall(r'id="(integrity\.[EWI]\d+)"', sources)))


def make_targets():
    return re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()


def fenced(text):
    """Code blocks as (language, lines)."""
    return [
        (language, body.splitlines())
        for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def command_lines(text):
    """What a reader can type: behind a prompt, at the start of a line of code, or between backticks."""
    for _, lines in fenced(text):
        for line in lines:
            if found := re.match(r"(?:\$ |.* && \S+ )?manage\.py (.+)", line):
                yield re.split(r" > | \|\| ", found[1])[0]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(found.split()) for found in re.findall(r"`manage\.py ([^`]+)`", prose))


LINES = sorted({line for text in PAGES.values() for line in command_lines(text)})


def python_file(name):
    """The code block of the README that begins with the name of this file."""
    (found,) = [lines for _, lines in fenced(README) if lines[:1] == [f"# {name}"]]
    return "\n".join(found) + "\n"


# All there is stands in it


@pytest.mark.parametrize("name", integrity.__all__)
def test_every_kind_of_rule_expression_and_repair_is_documented(name):
    assert f"`{name}" in ALL


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_documented(verb):
    assert f"manage.py integrity {verb}" in README
    assert f"| `{verb}` |" in PAGES["reference.md"]


@pytest.mark.parametrize("setting", [setting.name for setting in fields(Conf)])
def test_every_setting_is_documented_with_its_default(setting):
    assert f"| `{setting}` | {getattr(Conf(), setting)} |" in PAGES["reference.md"]


@pytest.mark.parametrize("code", sorted({*statuses.EXIT_CODES.values(), 2}))
def test_every_exit_code_is_documented(code):
    assert re.search(rf"^\| {code} \| \w+", README, re.MULTILINE)


@pytest.mark.parametrize("status", statuses.EXIT_CODES)
def test_every_status_is_documented(status):
    assert f"`{status}`" in PAGES["reference.md"]


@pytest.mark.parametrize("identifier", check_ids())
def test_every_system_check_is_documented(identifier):
    assert f"`{identifier}`" in ALL


@pytest.mark.parametrize("target", make_targets())
def test_every_make_target_is_documented(target):
    assert f"| `make {target}` |" in README


@pytest.mark.parametrize("path", sorted((ROOT / "players/management/commands").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_every_command_of_the_example_is_documented(path):
    assert f"manage.py {path.stem}" in README


def test_every_link_leads_to_a_page_or_a_heading():
    for page, text in PAGES.items():
        folder = ROOT if page == "README.md" else ROOT / "docs"
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            linked = (folder / file).read_text() if file else text
            headings = [h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", linked, re.MULTILINE)]
            assert not anchor or anchor in headings, target


# Its command lines are real


def test_command_lines_are_found():
    assert len(LINES) > 20


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_parses(line):
    command, *words = shlex.split(line, comments=True)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            parsed = parser_of(command).parse_args(words)
        except SystemExit:
            pytest.fail(said.getvalue())
    for label in [name for name in getattr(parsed, "rules", None) or [] if name.startswith("players.")]:
        assert registry.get(label)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_python_parses(page):
    for language, lines in fenced(PAGES[page]):
        if language == "python":
            ast.parse("\n".join(lines))


# The smallest example is run


@pytest.fixture(scope="module")
def database():
    """For the project of the smallest example."""
    with foreign.database("readme") as url:
        yield url


@pytest.fixture(scope="module")
def shown():
    """The console of the smallest example: (what is typed, the exit code, what is printed)."""
    section = README.partition("## The smallest example")[2].partition("\n## ")[0]
    (console,) = ["\n".join(lines) for language, lines in fenced(section) if language == "console"]
    found = re.findall(r"^\$ (.*?)  # exit code (\d)\n(.*?)(?=^\$ |\Z)", console + "\n", re.MULTILINE | re.DOTALL)
    return [(typed, int(code), printed) for typed, code, printed in found]


@pytest.fixture(scope="module")
def answers(shown, database, tmp_path_factory):
    """What the example's project answers to the lines of the README, the JSON of the reference and its Python."""
    project = tmp_path_factory.mktemp("project")
    (project / "shop").mkdir()
    (project / "shop/__init__.py").touch()
    (project / "settings.py").write_text(SETTINGS)
    for name in ("shop/models.py", "shop/rules.py"):
        (project / name).write_text(python_file(name))
    (python,) = [lines for _, lines in fenced(PAGES["reference.md"]) if "rule = registry.get" in " ".join(lines)]
    before = ["manage.py makemigrations shop --verbosity 0", "manage.py migrate --verbosity 0", WORLD]
    lines = [typed for typed, _, _ in shown] + ["manage.py integrity analyze --format json", "\n".join(python)]
    return foreign.answers(project, database, [*before, *lines], path=ROOT)[len(before) :]


def without_times(text):
    """Nobody's machine takes as long as another's."""
    lines = [re.sub(r"^(shop\..*) +\d+\.\d+$", r"\1", line.rstrip()).rstrip() for line in text.splitlines()]
    return "\n".join(lines).strip()


def test_the_example_prints_what_the_readme_shows(shown, answers):
    assert len(shown) == 4
    for (typed, code, printed), (ended, out) in zip(shown, answers, strict=False):
        assert (typed, ended, without_times(out)) == (typed, code, without_times(printed))


def test_the_json_of_the_reference_has_the_keys_of_a_real_one(answers):
    documented = json.loads(re.search(r"^(\{.*\})$", PAGES["reference.md"], re.MULTILINE)[1])
    code, out = answers[-2]
    real = json.loads(out)
    assert code == 1
    assert (documented.keys(), documented["rules"][0].keys()) == (real.keys(), real["rules"][0].keys())


def test_the_python_of_the_reference_runs(answers):
    assert answers[-1] == (0, "")
