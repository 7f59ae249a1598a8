import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from ornet_tf.runs import interruption
from tests import source_tree


def test_outside_a_loop_a_signal_raises_and_handlers_are_restored():
    before = [signal.getsignal(number) for number in interruption.SIGNALS]
    with pytest.raises(interruption.Interrupted, match="^Stopped by SIGTERM; end.$"), interruption.listen("end"):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == before


@pytest.mark.parametrize("lost_as", [AttributeError, SystemExit])
def test_a_lost_interrupted_exception_is_raised_again_at_the_end(lost_as):
    with pytest.raises(interruption.Interrupted, match="SIGTERM") as ended, interruption.listen():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except interruption.Interrupted:
            pass  # as in C++ code that calls Python and ignores its error
        raise lost_as("'bool' object has no attribute 'keys'")
    assert isinstance(ended.value.__cause__, lost_as)


def test_a_handler_of_a_library_that_exits_ends_as_ours_does():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(interruption.Interrupted, match="^Stopped by SIGTERM; end.$"), interruption.listen("end"):
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(SystemExit), interruption.listen():  # without a signal
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        sys.exit("a mistake")


def test_check_raises_a_lost_interrupted_exception_again():
    interruption.check()
    with pytest.raises(interruption.Interrupted, match="SIGINT"), interruption.listen():
        interruption.check()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except interruption.Interrupted:
            pass  # as in C++ code that calls Python
        interruption.check()
        pytest.fail("not reached")
    interruption.check()


def test_a_signal_that_no_loop_handles_goes_to_the_outer_listen():
    with pytest.raises(interruption.Interrupted, match="SIGINT"), interruption.listen():
        with interruption.listen() as inner, inner.call_on_signal(lambda: None):  # too late for this loop
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        time.sleep(5)


def test_an_error_in_a_loop_after_an_earlier_signal_is_raised_unchanged():
    with pytest.raises(OSError, match="disk"), interruption.listen() as signals:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except interruption.Interrupted:
            pass  # lost as above
        with signals.call_on_signal(lambda: None):
            raise OSError("The disk is full.")


def test_an_error_in_a_loop_after_a_signal_is_raised_unchanged():
    with pytest.raises(OSError, match="disk"), interruption.listen() as signals, signals.call_on_signal(lambda: None):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        raise OSError("The disk is full.")


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_inside_a_loop_a_signal_calls_stop_while_the_main_thread_is_busy(number):
    stopped = threading.Event()
    with interruption.listen() as signals, signals.call_on_signal(stopped.set):
        # As in TensorFlow: the main thread waits outside Python code, where no Python handler runs.
        subprocess.run(["kill", f"-{int(number)}", str(os.getpid())], check=True)
        assert stopped.wait(10)
    assert signals.name == signal.Signals(number).name


def test_a_signal_between_two_loops_stops_the_next_one():
    stopped = threading.Event()
    with interruption.listen() as signals:
        with signals.call_on_signal(lambda: None):  # too late for this loop: its last step is done
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)
        with signals.call_on_signal(stopped.set):
            assert stopped.is_set()


def test_a_process_that_hangs_outside_a_loop_exits_with_the_same_status():
    program = """
        import os, signal, threading
        from ornet_tf.runs import interruption
        interruption.SECONDS_TO_STOP = 0.5
        with interruption.listen() as signals:
            signals._handle = lambda *_: None
            threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()
            signal.signal(signal.SIGTERM, lambda *_: None)  # as if the main thread never returned to Python code
            while True:
                signal.pause()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == interruption.EXIT_CODE, done.stderr


def test_a_second_signal_exits_at_once_with_the_same_status():
    program = """
        import os, signal, time
        from ornet_tf.runs import interruption
        with interruption.listen("nothing is lost") as signals, signals.call_on_signal(lambda: None):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == interruption.EXIT_CODE == 75
    assert "SIGINT came a second time: stopped at once; nothing is lost." in done.stderr


def send_signal(number, line, *arguments):
    """Runs a program, sends it a signal when its standard error has `line`; returns its status and further output."""
    command = [sys.executable, "-X", "importtime", "-m", *arguments]
    with subprocess.Popen(command, cwd=source_tree.ROOT, stderr=subprocess.PIPE, text=True) as process:
        for output in process.stderr:
            if line in output:
                process.send_signal(number)
                break
        rest = process.stderr.read()
    return process.returncode, rest


@pytest.mark.slow
@pytest.mark.parametrize("number", interruption.SIGNALS)
@pytest.mark.parametrize("module", ["absl.logging", "tensorflow.python.framework.dtypes"])
def test_a_program_that_is_still_importing_exits_with_one_sentence(number, module, tmp_path):
    flags = ["--config=tests/tiny_experiment.py", f"--workdir={tmp_path}"]
    status, rest = send_signal(number, f" {module}\n", "ornet_tf.train", *flags)
    assert status == interruption.EXIT_CODE, rest
    assert rest.endswith(f"\nStopped by {signal.Signals(number).name}; run the same command again.\n")
    assert "Traceback" not in rest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "program", "line", "then"),
    [
        (signal.SIGINT, "train", " program.py:", interruption.RESUMES),
        (signal.SIGTERM, "predict", " program.py:", "same command"),
        (signal.SIGTERM, "evaluate", " program.py:", interruption.STARTS_OVER),
        (signal.SIGINT, "export", " program.py:", interruption.STARTS_OVER),
    ],
)
def test_a_program_outside_a_loop_exits_with_one_sentence(number, program, line, then, tiny_run, tmp_path):
    workdir = tmp_path if program == "train" else tiny_run[1]
    flags = ["--config=tests/tiny_experiment.py", f"--workdir={workdir}", *(["tests"] if program == "predict" else [])]
    status, rest = send_signal(number, line, f"ornet_tf.{program}", *flags)
    assert status == interruption.EXIT_CODE, rest
    last = rest.splitlines()[-1]
    assert last.startswith(f"Stopped by {signal.Signals(number).name}; ") and then in last
    assert "Traceback" not in rest


def test_in_another_thread_the_handlers_stay():
    before = signal.getsignal(signal.SIGTERM)
    handlers = []

    def work():
        with interruption.listen():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]
