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

from tests.server.processes import Guarded, free_port, wait_until

OWNER = "mlflow"
# Nothing here outlives the tests, so that nothing has to survive a power cut; crashes of processes lose nothing.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def _binaries():
    """Debian keeps the programs of each version in a folder outside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found += filter(None, [shutil.which("initdb")])
    return Path(found[-1]).parent if found else None


BINARIES = _binaries()


def missing():
    """What this machine lacks to run it, or nothing."""
    if BINARIES is None:
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
    """A running PostgreSQL with password authentication."""

    def __init__(self, log):
        self.password = secrets.token_hex(16)
        # Not one of pytest's folders: those are closed to other users.
        self.folder = Path(tempfile.mkdtemp(prefix="reflowbench-postgres-", dir="/tmp"))
        servant = _servant()
        self._options = {"cwd": self.folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        if servant:
            os.chown(self.folder, servant.pw_uid, servant.pw_gid)
            self._options |= {"user": servant.pw_uid, "group": servant.pw_gid, "extra_groups": []}
        self.log = log
        self.process = None
        try:
            self._make()
            self._start()
        except BaseException:
            self.stop()
            raise

    def _make(self):
        secret = self.folder / "password"
        secret.write_text(self.password)
        command = [BINARIES / "initdb", "--pgdata=data", f"--username={OWNER}", "--pwfile=password"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        with self.log.open("ab") as log:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True, **self._options)
        secret.unlink()

    def _start(self):
        for _ in range(3):  # somebody else may be faster on a free port
            self.port = free_port()
            settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": self.port}.items()]
            command = [BINARIES / "postgres", "-D", "data", *settings]
            # By SIGQUIT it ends its children and gives its shared memory back, without waiting for anybody.
            self.process = Guarded(command, self.log, signal="QUIT", scrap=self.folder, **self._options)
            wait_until(lambda: self._answers() or not self.process.runs, self.log.read_text)
            if self.process.runs:
                return
        raise AssertionError(self.log.read_text())

    def _answers(self):
        import psycopg2

        try:
            psycopg2.connect(self.uri("postgres")).close()
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
        if self.process:
            self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
