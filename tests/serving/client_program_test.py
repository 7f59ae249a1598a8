"""The client as a program: lines, exit statuses, signals, what it imports."""
import contextlib
import json
import re
import shutil
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest

from tests import source_tree
from tests.serving import faulty_http, tiny_export

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


def finished_program(command):
    return subprocess.run(command, cwd=source_tree.ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_program(older_url, tmp_path):
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    shutil.copy(good, tmp_path / "copy.png")
    paths = [good, "missing.png", tmp_path / "copy.png"]
    flags = [f"--url={older_url}", f"--output_dir={tmp_path / 'out'}"]
    finished = finished_program(program(*flags, *paths, python=["-X", "importtime"]))
    answers = [json.loads(line) for line in finished.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["00000_good.jpg", "00001_copy.jpg", "index.html", "predictions.json"]
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == "Error: 1 of 3 images failed; their lines say why."
    imported = {line.split("|")[-1].strip().split(".")[0] for line in finished.stderr.splitlines()}
    assert "requests" in imported
    assert not imported & {"tensorflow", "keras", "grpc"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["client", "local_server"])
def test_help_lists_each_flag_that_the_readme_lists(name):
    finished = finished_program([sys.executable, "-m", f"serving.{name}", "--help"])
    listed = set(re.findall(r"^  --(?:\[no\])?(\w+):", finished.stdout, re.MULTILINE))
    tables = source_tree.text("serving/README.md")
    documented = set(re.findall(r"^\| `--(\w+)` \|", tables, re.MULTILINE))
    assert len(listed) >= 6 and listed - {"url"} <= documented  # which has a table of its own


@pytest.mark.slow
def test_the_program_needs_no_server(export_base, tmp_path):
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    finished = finished_program(program(good, f"--url={export_base}"))
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
    ],
)
def test_mistakes_on_the_command_line_end_in_one_sentence(tmp_path, arguments, message):
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    image = tiny_export.write_image(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    finished = finished_program(program(image, *arguments))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith(message)
    assert finished.stderr.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_keeps_the_lines_that_are_written_and_waits_for_nobody(older_url, tmp_path):
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    answered = [(200, {}, None)] * 3
    silent = [(503, {"Retry-After": "600"}, b"")] * 9
    with faulty_http.running(answered + silent, older_url) as (address, _):
        options = ["--batch_size=1", "--in_flight=1"]
        command = program(*[good] * 9, f"--url={address}", *options)
        # Tests that a shell has put into the background ignore the signal, and a program that they start would, too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            started = subprocess.Popen(
                command, cwd=source_tree.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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
    assert errors == "Interrupted: the printed lines are complete; the other images have none.\n"


@pytest.mark.slow
def test_a_terminal_gets_a_bar(older_url, tmp_path):
    pty = pytest.importorskip("pty", reason="no terminals on this system")
    good = tiny_export.write_image(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    fcntl, termios = (pytest.importorskip(name) for name in ("fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # a new one has no width
    command = program(good, good, f"--url={older_url}")
    with open(theirs, "wb") as stderr:
        options = {"stdout": subprocess.PIPE, "stderr": stderr, "timeout": 60}
        finished = subprocess.run(command, cwd=source_tree.ROOT, check=True, **options)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # the end, on Linux
        while piece := terminal.read(2**16):
            shown += piece
    assert [json.loads(line)["class_name"] for line in finished.stdout.splitlines()] == ["wide"] * 2
    assert b"2/2" in shown and b"image/s" in shown


@pytest.mark.slow
def test_without_the_stubs_only_grpc_addresses_are_refused_in_one_sentence():
    command = [sys.executable, "-c", WITHOUT_STUBS]
    done = finished_program(command)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "Error: Expected the package tensorflow-serving-api for a grpc:// address, but "
    )
