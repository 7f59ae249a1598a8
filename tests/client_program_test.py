"""The client as a program: lines, exit statuses, signals, what it imports."""
import contextlib
import json
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest

from tests import faulty_http, tiny_export

ROOT = pathlib.Path(__file__).resolve().parent.parent
WITHOUT_STUBS = """
import sys
sys.modules["tensorflow_serving"] = None  # as if it were not installed
from serving import client
client.connect("http://127.0.0.1:1/m").close()
try:
    client.connect("grpc://127.0.0.1:1/m")
except ImportError as error:
    sys.exit(f"Error: {error}")
"""


def program(*arguments, python=()):
    return [sys.executable, *python, "-m", "serving.client", *map(str, arguments)]


def test_the_program(older_url, tmp_path):
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    shutil.copy(good, tmp_path / "copy.png")
    paths = [good, "missing.png", tmp_path / "copy.png"]
    finished = subprocess.run(
        program(f"--url={older_url}", *paths, f"--output_dir={tmp_path / 'out'}", python=["-X", "importtime"]),
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    answers = [json.loads(line) for line in finished.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["copy_box.png", "good_box.png"]
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == "Error: 1 of 3 images failed; their lines say why."
    imported = {line.split("|")[-1].strip().split(".")[0] for line in finished.stderr.splitlines()}
    assert "requests" in imported
    assert not imported & {"tensorflow", "keras", "grpc"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["client", "local_server"])
def test_help_lists_each_flag_that_the_readme_lists(name):
    finished = subprocess.run(
        [sys.executable, "-m", f"serving.{name}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    listed = set(re.findall(r"^  --(?:\[no\])?(\w+):", finished.stdout, re.MULTILINE))
    tables = (ROOT / "serving" / "README.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `--(\w+)` \|", tables, re.MULTILINE))
    assert len(listed) >= 8 and listed - {"url"} <= documented  # which has a table of its own


@pytest.mark.slow
def test_the_program_needs_no_server(export_base, tmp_path):
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    finished = subprocess.run(
        program(good, f"--url={export_base}"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    np.testing.assert_allclose(json.loads(finished.stdout)["box"], [0.25, 0.2, 0.5, 0.8], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url=nowhere"], "Error: Expected a model's URL such as http://"),
        (["--url=grpc://host"], "Error: Expected a gRPC address such as "),
        (["--url={tmp}"], "Error: Expected an export, "),
        (["--url=http://127.0.0.1:1/m", "--attempts=1"], "Error: No server answers at http://127.0.0.1:1/m ("),
        (["--url=http://127.0.0.1:1/m", "--deadline=1e-3"], "Error: No server answers at http://127.0.0.1:1/m ("),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_sentence(tmp_path, arguments, message):
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    image = tiny_export.write_image(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    finished = subprocess.run(
        program(image, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith(message)
    assert finished.stderr.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_keeps_the_lines_that_are_written_and_waits_for_nobody(older_url, tmp_path):
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    answered = [(200, {}, None)] * 3
    silent = [(503, {"Retry-After": "600"}, b"")] * 9
    with faulty_http.running(answered + silent, older_url) as (address, _):
        options = ["--batch_size=1", "--in_flight=1", "--deadline=3600"]
        command = program(*[good] * 9, f"--url={address}", *options)
        # Tests that a shell has put into the background ignore the signal, and a program that they start would, too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            started = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        finally:
            signal.signal(signal.SIGINT, before)
        with started as process:
            try:
                first = [process.stdout.readline() for _ in range(3)]
                for _ in range(4):  # on a busy machine one was seen to get lost; a user presses the keys again
                    process.send_signal(signal.SIGINT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        rest, errors = process.communicate(timeout=15)
                        break
            finally:
                process.kill()
    assert [json.loads(line)["class_name"] for line in first] == ["wide"] * 3 and rest == ""
    assert process.returncode == -signal.SIGINT
    assert errors == "Interrupted: the lines that are written are whole; the other images have none.\n"


@pytest.mark.slow
def test_a_terminal_gets_a_bar(older_url, tmp_path):
    pty = pytest.importorskip("pty", reason="no terminals on this system")
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    fcntl, termios = (pytest.importorskip(name) for name in ("fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # a new one has no width
    command = program(good, good, f"--url={older_url}")
    with open(theirs, "wb") as stderr:
        finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=True)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # the end, on Linux
        while piece := terminal.read(2**16):
            shown += piece
    assert [json.loads(line)["class_name"] for line in finished.stdout.splitlines()] == ["wide"] * 2
    assert b"2/2" in shown and b"image/s" in shown


@pytest.mark.slow
def test_without_the_stubs_only_grpc_addresses_are_refused_in_one_sentence():
    command = [sys.executable, "-c", WITHOUT_STUBS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "Error: Expected the package tensorflow-serving-api for a grpc:// address, but "
    )
