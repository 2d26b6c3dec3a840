import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_make_alone_lists_every_target_with_a_sentence():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make (\S+) +[A-Z]", listed, re.MULTILINE) == targets.split()
