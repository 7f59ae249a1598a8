import shutil
import subprocess
import sys

import pytest

from ornet_tf.runs import code_version
from tests import source_tree


def git(folder, *arguments):
    options = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org"]
    command = ["git", *options, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit_of_copy(root):
    """Returns the commit that a copy of the package in the folder `root` reports."""
    code = "from ornet_tf.runs import code_version; print(code_version.commit())"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_commit_is_that_of_this_code_or_empty(tmp_path):
    shutil.copytree(source_tree.ROOT / "ornet_tf", tmp_path / "ornet_tf", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(source_tree.ROOT / "serving", tmp_path / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    assert commit_of_copy(tmp_path) == ""  # not a checkout
    git(tmp_path, "init", "--quiet")
    (tmp_path / "other").write_text("something else's checkout, with the package installed in it")
    (tmp_path / ".gitignore").write_text("ornet_tf\nserving\n__pycache__\n")
    git(tmp_path, "add", "other", ".gitignore")
    git(tmp_path, "commit", "--quiet", "--message=other")
    assert commit_of_copy(tmp_path) == ""
    modules = [str(path.relative_to(tmp_path)) for path in (tmp_path / "ornet_tf").rglob("*.py")]
    git(tmp_path, "add", "--force", *modules)
    git(tmp_path, "commit", "--quiet", "--message=ours")
    git(tmp_path, "tag", "v7")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of_copy(tmp_path) == commit
    with open(tmp_path / "ornet_tf" / "registry.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert commit_of_copy(tmp_path) == f"{commit}-dirty"


def test_without_git_the_commit_is_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_version.commit() == ""
