"""A process that ends with the tests, however they end: also when pytest is killed and cleans nothing up."""

import contextlib
import os
import signal
import socket
import subprocess
import time

# The guard waits for its standard input to end: nobody but the tests holds the other end of that pipe, and the kernel
# closes it when they die. When the program has ended, by itself or by this, so do all of the guard's process group.
GUARD = """
exec 3<&0
signal=$1 scrap=$2; shift 2
"$@" 3<&- & program=$!
{ read -r _ <&3; kill -s "$signal" "$program"; } &
wait "$program"
[ -z "$scrap" ] || rm -rf "$scrap"
kill -s KILL 0
"""
PATIENCE = 120  # seconds; a busy machine may take many times what starting takes


class Guarded:
    """A program that runs until `stop`, `kill` or the end of the tests."""

    def __init__(self, command, log, *, signal="KILL", scrap="", **options):
        """Start it.

        `signal` asks it to stop, and `scrap` is a folder that is deleted after it.
        """
        with log.open("ab") as file:
            self.guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", signal, str(scrap), *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    @property
    def runs(self):
        return self.guard.poll() is None

    def stop(self):
        self.guard.stdin.close()
        self.guard.wait()

    def kill(self):
        """End all of it at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.guard.pid, signal.SIGKILL)
        self.stop()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(ready, what):
    """Ask again and again; `what` says what was waited for, should that be in vain."""
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, f"{what()} (after {PATIENCE} s)"
        time.sleep(0.05)
