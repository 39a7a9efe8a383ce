"""A PostgreSQL of the tests' own: a new cluster on a free port of this machine, gone after them."""

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

from tests.server.loopback import free_port, wait_until

OWNER = "mlflow"
# Nothing here outlives the tests, so that nothing has to survive a power cut; crashes of processes lose nothing.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
# The guard waits for its standard input to end: nobody but the tests holds the other end of that pipe, and the kernel
# closes it when they die. By SIGQUIT the server ends its children and gives its shared memory back without waiting for
# anybody; until it is there, the signal is ignored. When it has ended, by this or by itself, so does the guard.
GUARD = """
exec 3<&0
folder=$1 programs=$2; shift 2
{
  "$programs/initdb" --pgdata=data --username=$OWNER --pwfile=password --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C --no-sync --no-instructions && rm password && exec "$programs/postgres" -D data "$@"
} 3<&- & server=$!
{ read -r _ <&3; while kill -s QUIT "$server"; do sleep 0.1; done; } 2>/dev/null &
wait "$server"
rm -rf "$folder"
kill -s KILL 0
"""


def _programs():
    """Debian keeps the programs of each version in a folder outside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found += filter(None, [shutil.which("initdb")])
    return Path(found[-1]).parent if found else None


PROGRAMS = _programs()


def missing():
    """What this machine lacks to run it, or nothing."""
    if PROGRAMS is None:
        return "no PostgreSQL on this machine (on Debian, the package postgresql)"
    if importlib.util.find_spec("psycopg2") is None:
        return "no psycopg2 in this environment (`make install`)"
    return ""


def _servant():
    """PostgreSQL refuses to run as root: the user that it runs as instead."""
    if os.geteuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


class Cluster:
    """A running PostgreSQL with password authentication.

    Attributes:
        log: What it writes.
        password: That of its only user.
        port: Where it listens, on this machine only.
    """

    def __init__(self, log):
        self.log = log
        self.password = secrets.token_hex(16)
        for _ in range(3):  # somebody else may be faster on a free port
            self._start()
            try:
                wait_until(lambda: self._answers() or self._guard.poll() is not None, log.read_text)
            except BaseException:
                self.stop()
                raise
            if self._guard.poll() is None:
                return
        raise AssertionError(log.read_text())

    def _start(self):
        # Not one of pytest's folders: those are closed to other users.
        folder = Path(tempfile.mkdtemp(prefix="reflowbench-postgres-", dir="/tmp"))
        (folder / "password").write_text(self.password)
        options = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "OWNER": OWNER}}
        if servant := _servant():
            os.chown(folder, servant.pw_uid, servant.pw_gid)
            options |= {"user": servant.pw_uid, "group": servant.pw_gid, "extra_groups": []}
        self.port = free_port()
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": self.port}.items()]
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", folder, PROGRAMS, *settings],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    def _answers(self):
        import psycopg2

        try:
            self.sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def uri(self, database, scheme="postgresql"):
        return f"{scheme}://{OWNER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def sql(self, query, database="postgres"):
        """Run one statement by itself and give its rows."""
        import psycopg2

        with closing(psycopg2.connect(self.uri(database))) as connection:
            connection.autocommit = True  # databases are not made and dropped in a transaction
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []

    def stop(self):
        self._guard.stdin.close()
        self._guard.wait()
