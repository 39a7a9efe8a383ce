"""Ports of this machine, and waiting for who is to answer there."""

import socket
import time

PATIENCE = 120  # seconds; a busy machine may take many times what starting takes


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(ready, what):
    """Ask again and again; `what` says what was waited for, should that be in vain."""
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, f"{what()} (after {PATIENCE} s)"
        time.sleep(0.05)
