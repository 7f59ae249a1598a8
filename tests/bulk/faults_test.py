"""Runs on a cluster of several machines: one dies, the program dies, the disk is full. The result is the same."""
import signal

import pytest

from ornet_tf.bulk import export_version, output_folder
from ornet_tf.runs import interruption
from tests import small_disk
from tests.bulk import images, started_cluster

pytest.importorskip("ray", reason="Ray is not installed: pip install '.[many]'")
pytestmark = pytest.mark.slow

COUNT, PART = 4000, 50


@pytest.fixture(name="three_machines", scope="module")
def _three_machines():
    with started_cluster.started(3) as machines:
        yield machines


def test_a_killed_program_continues_and_a_killed_machine_costs_no_row(
    tmp_path, three_machines, bulk_export, bulk_model
):
    folder = tmp_path / "photos"
    paths = images.write_folder(folder, COUNT)
    expected = images.expected_table(bulk_model, paths, export_version.read(bulk_export))
    output = tmp_path / "out"
    command = (bulk_export, folder, output, f"--address={three_machines.address}", f"--part_size={PART}")

    program = started_cluster.start(*command)
    started_cluster.wait(lambda: len(started_cluster.shards(output)) > 2, program)
    program.send_signal(signal.SIGKILL)
    program.communicate()
    started_cluster.wait_for_end_of_workers(three_machines)
    before = started_cluster.shards(output)
    assert 2 < len(before) < COUNT // PART

    program = started_cluster.start(*command)
    started_cluster.wait(lambda: len(started_cluster.shards(output)) > len(before), program)
    workers = three_machines.worker_nodes.copy()
    victim = started_cluster.wait(lambda: started_cluster.busy_machine(workers), program)
    started_cluster.kill(victim)
    missing = COUNT // PART - len(started_cluster.shards(output))
    status, text = started_cluster.finish(program)
    assert (status, missing > 0) == (0, True), text
    assert f"{COUNT} rows in, {COUNT} rows out: " in text and "2 refused (2 unsupported; see the column status)" in text
    after = started_cluster.shards(output)
    assert {name: after[name] for name in before} == before  # nothing was done twice
    assert images.read_output(output) == expected


def test_a_signal_while_ray_starts_ends_the_program_as_at_any_other_time(tmp_path, bulk_export):
    images.write_folder(tmp_path / "photos", 3)
    program = started_cluster.start(bulk_export, tmp_path / "photos", tmp_path / "out")
    started_cluster.wait(lambda: started_cluster.has_child(program.pid, "gcs_server"), program)
    program.send_signal(signal.SIGTERM)
    status, text = started_cluster.finish(program)
    assert status == interruption.EXIT_CODE, text
    assert text.endswith(
        "Stopped by SIGTERM; finished parts stay, and the same command does what is missing.\n"
    ) and "Traceback" not in text


def test_a_cluster_with_a_token_is_joined_by_who_has_it(tmp_path, bulk_export, monkeypatch):
    images.write_folder(tmp_path / "photos", 3)
    with started_cluster.started_with_token(tmp_path / "home") as address:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        program = started_cluster.start(bulk_export, tmp_path / "photos", tmp_path / "out", f"--address={address}")
        status, text = started_cluster.finish(program)
    assert status == 0, text


def test_a_full_disk_ends_the_run_in_one_sentence_and_the_next_run_continues(tmp_path, bulk_export, bulk_model):
    paths = images.write_folder(tmp_path / "photos", 600)
    output = tmp_path / "out"
    command = started_cluster.command_line(bulk_export, tmp_path / "photos", output, "--part_size=20", "--workers=1")
    done = small_disk.run_twice(command, output, "96k")
    error = [line for line in done.first if "Error: " in line]  # Ray's own output may stand before it
    assert done.first_status == 1 and len(error) == 1 and "could not be written: " in error[0], done.first
    assert "No space left on device. Free some space and start the same command again" in error[0]
    finished = [file.parent.name for file in done.files]
    assert 0 < finished.count(output_folder.DETECTIONS) < 30 and "partial" not in finished
    assert done.second_status == 0, done.second
    expected = images.expected_table(bulk_model, paths, export_version.read(bulk_export))
    assert images.read_output(done.saved) == expected
