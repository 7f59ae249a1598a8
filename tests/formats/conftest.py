import signal

import pytest


@pytest.fixture(name="interruptible")
def _interruptible():
    """SIGINT raises KeyboardInterrupt, also where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
