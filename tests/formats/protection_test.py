import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ornet_tf.errors import UserError
from ornet_tf.formats import _protection
from tests import source_tree


def test_a_folder_that_another_program_writes_to_is_refused(tmp_path):
    program = "import sys; from ornet_tf.formats import _protection\nwith _protection.locked(sys.argv[1]): pass"
    command = [sys.executable, "-c", program, str(tmp_path)]
    with _protection.locked(str(tmp_path)):
        done = subprocess.run(command, cwd=source_tree.ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert f"UserError: {tmp_path} is in use: another program writes there; wait for it, or choose" in done.stderr
    assert subprocess.run(command, cwd=source_tree.ROOT, check=False).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_lock_ends_with_an_error(tmp_path):
    with pytest.raises(KeyError), _protection.locked(str(tmp_path)):
        raise KeyError
    folder = str(tmp_path)
    with _protection.locked(folder), pytest.raises(UserError, match="in use"), _protection.locked(folder):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_delivered_once_at_the_end(number):
    got, reached = [], False
    before = signal.signal(number, lambda number, _: got.append(number))
    try:
        with _protection.signals_held_off():
            os.kill(os.getpid(), number)
            signal.raise_signal(number)
            time.sleep(0)
            reached = got == []
        assert reached and got == [number]
        signal.raise_signal(number)
        assert got == [number] * 2
    finally:
        signal.signal(number, before)


@pytest.mark.usefixtures("interruptible")
def test_nothing_reads_of_a_signal_meanwhile_that_could_end_the_process():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    before = signal.set_wakeup_fd(writing)
    try:
        with pytest.raises(KeyboardInterrupt), _protection.signals_held_off():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(BlockingIOError):
                os.read(reading, 1)
        assert os.read(reading, 9) == bytes([signal.SIGINT])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def test_an_error_wins_over_a_signal_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyError), _protection.signals_held_off():
        signal.raise_signal(signal.SIGINT)
        raise KeyError
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_may_write_too():
    done = []

    def work():
        with _protection.signals_held_off():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
