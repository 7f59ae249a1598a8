"""The common client and its program, against the real local server and a SavedModel: lines, overlays, failures."""
import contextlib
import json
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ornet_tf import loaded
from serving import client, local_server
from serving.errors import PictureRefusedError
from tests import faulty_http, tiny_contract, tiny_export

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(name="url", scope="module")
def _url(tmp_path_factory):
    """A served export of before `status`: one bad picture fails its request."""
    base = tmp_path_factory.mktemp("older_export")
    tiny_export.write(base / "1")
    with local_server.running(base, "ornet") as url:
        yield url


@pytest.fixture(name="base", scope="module")
def _base(tmp_path_factory):
    base = tmp_path_factory.mktemp("export")
    tiny_contract.write(base / "1")
    return base


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run(paths, address, **options):
    with contextlib.closing(client.connect(str(address), retries=tiny_contract.QUICK)) as model:
        return client.run(paths, model, **{name: str(value) for name, value in options.items()})


def test_localize_returns_each_picture_s_detections_in_order(url, tmp_path):
    wide = tiny_export.write_picture(tmp_path / "wide.png", 40, 60, (10, 12, 20, 48))
    tall = tiny_export.write_picture(tmp_path / "tall.png", 64, 32, (0, 8, 64, 16))
    results = client.localize(url + "/", [tall, wide, pathlib.Path(tall).read_bytes()])
    assert [result.class_names for result in results] == [("tall",), ("wide",), ("tall",)]
    assert results[1].as_dict() == {
        "box": pytest.approx([0.25, 0.2, 0.5, 0.8], abs=1e-6), "score": pytest.approx(0.15), "class": 1,
        "class_name": "wide",
    }  # fmt: skip
    assert client.localize(url, [wide], signature="activation_map")[0].activation_map.shape == (4, 4)
    assert client.localize(url, []) == []


def test_many_pictures_over_rest_and_without_a_server_give_the_same(base):
    images = tiny_contract.pictures() * 7
    with local_server.running(base, "ornet") as url:
        tiny_contract.expect_same(
            client.localize(url, images, signature="activation_map"),
            client.localize(str(base / "1"), images, signature="activation_map"),
        )


def test_lines_and_overlays(url, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    first = tiny_export.write_picture(tmp_path / "bird.png", 40, 60, (10, 12, 20, 48))
    second = tiny_export.write_picture(tmp_path / "a" / "bird.png", 64, 32, (0, 8, 64, 16))
    before = pathlib.Path(first).read_bytes()
    assert run([first, second], url, output_dir=tmp_path, signature="activation_map") == 0
    answers = lines(capsys)
    assert [answer["file"] for answer in answers] == [first, second]
    assert [answer["class_name"] for answer in answers] == ["wide", "tall"]
    assert "activation_map" not in answers[0]
    assert [pathlib.Path(answer["overlay"]).name for answer in answers] == ["bird_box.png", "bird_box_2.png"]
    assert pathlib.Path(first).read_bytes() == before
    with Image.open(answers[1]["overlay"]) as picture:
        assert picture.size == (32, 64)


def test_pictures_of_no_and_of_two_objects(base, tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("one.png", "junk.png", "both.png", "nothing.png")]
    for path, image in zip(paths, tiny_contract.pictures()):
        pathlib.Path(path).write_bytes(image if isinstance(image, bytes) else loaded.encoding.encode(image))
    assert run(paths, base, output_dir=tmp_path / "out") == 1
    one, junk, both, nothing = lines(capsys)
    assert "others" not in one and [other["class_name"] for other in both["others"]] == ["green"]
    assert junk == {"file": paths[1], "error": "The model cannot read it: neither JPEG nor PNG."}
    assert nothing == {"file": paths[3], "box": None, "overlay": str(tmp_path / "out" / "nothing_box.png")}
    assert run(paths[:1], base, signature="localize", output_dir=tmp_path / "out") == 0
    assert lines(capsys)[0].keys() == {"file", "box", "overlay"}


def test_an_overlay_never_replaces_a_picture_that_is_asked_about(url, tmp_path, capsys):
    paths = [tiny_export.write_picture(tmp_path / name, 40, 60, (10, 12, 20, 48)) for name in ("b.png", "b_box.png")]
    assert run(paths, url, output_dir=tmp_path) == 0
    assert [pathlib.Path(answer["overlay"]).name for answer in lines(capsys)] == ["b_box_2.png", "b_box_box.png"]


def test_failures_are_named_and_the_others_go_on(url, tmp_path, capsys):
    good = tiny_export.write_picture(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    (tmp_path / "text.png").write_bytes(b"no picture" * 2000)
    (tmp_path / "folder").mkdir()
    names = ["missing.png", "text.png", "folder", "good.png"]
    assert run([str(tmp_path / name) for name in names], url) == 3
    missing, text, folder, last = lines(capsys)
    assert missing == {
        "file": str(tmp_path / "missing.png"),
        "error": f"Cannot read {tmp_path / 'missing.png'}: No such file or directory.",
    }
    assert "HTTP 400: Unknown image file format" in text["error"]
    assert folder["error"].startswith("Cannot read ")
    assert (last["file"], last["class_name"]) == (good, "wide")


def test_an_overlay_that_cannot_be_drawn_is_a_failure(base, tmp_path, capsys):
    path = tiny_export.write_picture(tmp_path / "a.png", 40, 60, (10, 12, 20, 48))
    (tmp_path / "out" / "a_box.png").mkdir(parents=True)
    assert run([path], base, output_dir=tmp_path / "out") == 1
    assert lines(capsys)[0]["error"].startswith("No overlay: ")


@pytest.mark.parametrize(
    ("suffix", "signature", "message"),
    [
        ("x", "serving_default", r"HTTP 404: Servable not found for request: Latest\(ornetx\)"),
        ("", "nothing", 'a.png: .*HTTP 400: Serving signature name: "nothing" not found'),
        ("", "echo", "Expected detections from http.*, but got .*outputs.*; is it the model that ornet_tf.export"),
    ],
)
def test_refusals_of_the_server(url, tmp_path, suffix, signature, message):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    with pytest.raises(ValueError, match=message):
        client.localize(url + suffix, [path], signature=signature)


def test_the_picture_that_is_refused_is_named(url):
    good = tiny_export.picture(8, 8, (0, 0, 4, 4))
    with pytest.raises(PictureRefusedError, match="^picture 3: http.* refuses with HTTP 400: Unknown image"):
        client.localize(url, [good, good, b"junk", good])


def test_a_server_that_is_not_there(tmp_path, capsys):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/m"
    with pytest.raises(ConnectionError, match=r"No server answers at .* \(Connection refused\)"):
        client.localize(address, [path], retries=tiny_contract.QUICK)
    with pytest.raises(ConnectionError):
        run([path, path], address)
    assert lines(capsys) == []


def program(*arguments, python=()):
    return [sys.executable, *python, "-m", "serving.client", *map(str, arguments)]


def test_the_program(url, tmp_path):
    good = tiny_export.write_picture(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    shutil.copy(good, tmp_path / "copy.png")
    paths = [good, "missing.png", tmp_path / "copy.png"]
    finished = subprocess.run(
        program(f"--url={url}", *paths, f"--output_dir={tmp_path / 'out'}", python=["-X", "importtime"]),
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    answers = [json.loads(line) for line in finished.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["copy_box.png", "good_box.png"]
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == "Error: 1 of 3 pictures failed; their lines say why."
    imported = {line.split("|")[-1].strip().split(".")[0] for line in finished.stderr.splitlines()}
    assert "requests" in imported
    assert not imported & {"tensorflow", "keras", "grpc"}


def test_the_program_needs_no_server(base, tmp_path):
    good = tiny_export.write_picture(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    finished = subprocess.run(
        program(good, f"--url={base}"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    np.testing.assert_allclose(json.loads(finished.stdout)["box"], [0.25, 0.2, 0.5, 0.8], rtol=1e-6)


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
    picture = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    finished = subprocess.run(
        program(picture, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith(message)
    assert finished.stderr.count("\n") == 1


def test_ctrl_c_keeps_the_lines_that_are_written_and_waits_for_nobody(url, tmp_path):
    good = tiny_export.write_picture(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    answered = [(200, {}, None)] * 3
    silent = [(503, {"Retry-After": "600"}, b"")] * 9
    with faulty_http.running(answered + silent, url) as (address, _):
        options = ["--batch_size=1", "--in_flight=1", "--deadline=3600"]
        command = program(*[good] * 9, f"--url={address}", *options)
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                first = [process.stdout.readline() for _ in range(3)]
                process.send_signal(signal.SIGINT)
                rest, errors = process.communicate(timeout=20)
            finally:
                process.kill()
    assert [json.loads(line)["class_name"] for line in first] == ["wide"] * 3 and rest == ""
    assert process.returncode == -signal.SIGINT
    assert errors == "Interrupted: the lines that are written are whole; the other pictures have none.\n"


def test_a_terminal_gets_a_bar(url, tmp_path):
    pty = pytest.importorskip("pty", reason="no terminals on this system")
    good = tiny_export.write_picture(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    fcntl, termios = (pytest.importorskip(name) for name in ("fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # a new one has no width
    command = program(good, good, f"--url={url}")
    with open(theirs, "wb") as stderr:
        finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=True)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # the end, on Linux
        while piece := terminal.read(2**16):
            shown += piece
    assert [json.loads(line)["class_name"] for line in finished.stdout.splitlines()] == ["wide"] * 2
    assert b"2/2" in shown and b"image/s" in shown
