"""Runs on a cluster of several machines: one dies, the program dies, the disk is full. The result is the same."""
import signal
import subprocess
import sys

import pytest

from ornet_tf.bulk import export_version, output_folder
from tests import source_tree
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
    assert f"{COUNT} rows in, {COUNT} rows out: " in text and "2 refused (2 unsupported)" in text
    after = started_cluster.shards(output)
    assert {name: after[name] for name in before} == before  # nothing was done twice
    assert images.read_output(output) == expected


# The small disk and all processes are gone when the first one ends.
_ON_ITS_OWN = ("unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_ON_A_SMALL_DISK = """
set -u
mount -t tmpfs -o size=$1 tmpfs "$2" || exit 77
shift
output=$1; shift
"$@"; echo "status $?"
find "$output/detections" -name '*.parquet' | wc -l
find "$output/partial" -type f -size +0 | wc -l
mount -o remount,size=64m "$output"
"$@"; echo "status $?"
cp -r "$output/detections" "$output.saved"
"""


def test_a_full_disk_ends_the_run_in_one_sentence_and_the_next_run_continues(tmp_path, bulk_export, bulk_model):
    paths = images.write_folder(tmp_path / "photos", 600)
    output = tmp_path / "out"
    output.mkdir()
    command = started_cluster.command_line(bulk_export, tmp_path / "photos", output, "--part_size=20", "--workers=1")
    done = subprocess.run(
        [*_ON_ITS_OWN, "sh", "-c", _ON_A_SMALL_DISK, "sh", "96k", str(output), sys.executable, *command],
        cwd=source_tree.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip
    if done.returncode == 77 or done.stdout.startswith("unshare: "):
        pytest.skip(f"makes a small disk, which this user may not do here: {done.stdout}")
    lines = done.stdout.splitlines()
    first = lines.index("status 1")
    error = [line for line in lines if line.startswith("Error: ")]
    assert len(error) == 1 and "could not be written: " in error[0], done.stdout
    assert "No space left on device. Free some space and start the same command again" in error[0]
    assert 0 < int(lines[first + 1]) < 30 and lines[first + 2] == "0"
    assert lines[-1] == "status 0", done.stdout
    (tmp_path / "out.saved").rename(output / output_folder.DETECTIONS)
    expected = images.expected_table(bulk_model, paths, export_version.read(bulk_export))
    assert images.read_output(output) == expected
