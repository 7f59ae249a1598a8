"""The client against the real local server: answers, overlays, every way to fail, no TensorFlow."""
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from serving import client, local_server, overlay
from tests import tiny_export

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(name="url", scope="module")
def _url(tmp_path_factory):
    base = tmp_path_factory.mktemp("export")
    tiny_export.write(base / "1")
    with local_server.running(base, "ornet") as url:
        yield url


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run(paths, url, *, output_dir="", signature="serving_default", timeout=30):
    return client.run(paths, url=url, signature=signature, timeout=timeout, output_dir=str(output_dir))


def test_localize_returns_each_picture_s_detection_in_order(url, tmp_path):
    wide = tiny_export.write_picture(tmp_path / "wide.png", 40, 60, (10, 12, 20, 48))
    tall = tiny_export.write_picture(tmp_path / "tall.png", 64, 32, (0, 8, 64, 16))
    results = client.localize(url + "/", [tall, wide, tall])
    assert [result["class_name"] for result in results] == ["tall", "wide", "tall"]
    assert results[1] == {
        "file": wide, "box": pytest.approx([0.25, 0.2, 0.5, 0.8], abs=1e-6), "score": pytest.approx(0.15), "class": 1,
        "class_name": "wide",
    }  # fmt: skip
    result = client.localize(url, [wide], signature="activation_map")[0]
    assert np.shape(result["activation_map"]) == (4, 4)


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


def test_long_error_texts_are_cut(url, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"x" * 100_000)
    # This signature takes numbers: the server's message echoes the whole picture.
    with pytest.raises(ValueError, match="HTTP 400") as caught:
        client.localize(url, [path], signature="whole")
    assert len(str(caught.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    ("suffix", "signature", "message"),
    [
        ("x", "serving_default", r"HTTP 404: Servable not found for request: Latest\(ornetx\)"),
        ("", "nothing", 'HTTP 400: Serving signature name: "nothing" not found'),
        ("", "echo", "Expected detections .* but got .*predictions.*; is it the model that ornet_tf.export wrote"),
    ],
)
def test_refusals_of_the_server(url, tmp_path, suffix, signature, message):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    with pytest.raises(ValueError, match=message):
        client.localize(url + suffix, [path], signature=signature)


@pytest.mark.parametrize("url", ["localhost:8501/v1/models/ornet", "ftp://a/b", "ornet", ""])
def test_what_is_no_url(url):
    with pytest.raises(ValueError, match="Expected a model's URL such as http://"):
        client.localize(url, [])


def test_a_server_that_is_not_there(tmp_path, capsys):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionError, match=r"No server answers at http://127.0.0.1:\d+/m \(Connection refused\)"):
        client.localize(f"http://127.0.0.1:{port}/m", [path])
    with pytest.raises(ConnectionError):
        run([path, path], f"http://127.0.0.1:{port}/m")
    assert lines(capsys) == []


def test_a_server_that_never_answers(tmp_path):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError, match=r"within 0.2 s"):
        client.localize(f"http://127.0.0.1:{silent.getsockname()[1]}/m", [path], timeout=0.2)


def test_a_reply_that_is_not_json(tmp_path):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 4, 4))

    def answer_once():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once)
        thread.start()
        with pytest.raises(ValueError, match="but got hello; is it the model"):
            client.localize(f"http://127.0.0.1:{listener.getsockname()[1]}/m", [path])
        thread.join()


@pytest.mark.parametrize(("name", "height", "width"), [("turned.jpg", 80, 60), ("as_it_is.png", 60, 80)])
def test_the_box_is_drawn_in_the_frame_of_the_export(tmp_path, name, height, width):
    # Orientation 6: the upright picture is the stored one turned clockwise. The export reads it from JPEG files only.
    stored = Image.new("RGB", (80, 60), (0, 0, 200))
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / name, exif=exif)
    overlay.draw(tmp_path / name, [0.5, 0.25, 1.0, 0.75], "", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        pixels = np.asarray(picture).astype(int)
    assert pixels.shape == (height, width, 3)
    red = (pixels[..., 0] > 200) & (pixels[..., 2] < 50)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    edges = (rows[0], rows[-1], columns[0], columns[-1])
    assert edges == (height // 2, height - 1, width // 4, 3 * width // 4 - 1)
    assert not red[height // 2 + 10 : height - 10, width // 4 + 10 : width // 4 + 20].any()


def test_sixteen_bits_of_grey_are_scaled(tmp_path):
    Image.fromarray(np.full([40, 40], 0x40FF, np.uint16)).save(tmp_path / "grey.png")
    overlay.draw(tmp_path / "grey.png", [0, 0, 0.2, 0.2], "", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.getpixel((30, 30)) == (0x40, 0x40, 0x40)


def test_overlays_of_boxes_at_and_without_extent(tmp_path):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 1, 1))
    for box in ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], [1, 1, 1, 1]):
        overlay.draw(path, box, "name 0.50", tmp_path / "out.png")


def test_the_program(url, tmp_path):
    good = tiny_export.write_picture(tmp_path / "good.png", 40, 60, (10, 12, 20, 48))
    shutil.copy(good, tmp_path / "copy.png")
    command = [sys.executable, "-X", "importtime", "-m", "serving.client", f"--url={url}"]
    finished = subprocess.run(
        [*command, good, "missing.png", str(tmp_path / "copy.png"), f"--output_dir={tmp_path / 'out'}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    answers = [json.loads(line) for line in finished.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["copy_box.png", "good_box.png"]
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == "Error: 1 of 3 pictures failed; their lines say why."
    imported = {line.split("|")[-1].strip().split(".")[0] for line in finished.stderr.splitlines()}
    assert "requests" in imported
    assert not imported & {"tensorflow", "keras"}
