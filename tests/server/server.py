"""An MLflow server on PostgreSQL: started, killed and started again, with its database and files looked at directly."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections import defaultdict

from tests.server.loopback import free_port, wait_until

TEMPLATE, DATABASE = "template", "mlflow"
USER, PASSWORD = "someone", "secret-word"
"""Who the client says it is. The server does not ask, but it is addressed so behind a proxy that does."""

# `mlflow server` imports MLflow's server twice before it answers, 4 s each time. A fork of a process that has imported
# it answers within a second, and tests that kill servers need many.
FORKS = multiprocessing.get_context("forkserver")
IMPORTED = ["mlflow.cli", "mlflow.server.fastapi_app", "uvicorn"]


def _serve(arguments, environment, log):
    """Be `mlflow server`, as the leader of a process group that ends with the tests, however they end."""
    os.setsid()
    tests = multiprocessing.parent_process()
    threading.Thread(target=lambda: (tests.join(), os.killpg(0, signal.SIGKILL)), daemon=True).start()
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    for name in [name for name in os.environ if name.startswith("MLFLOW")]:
        del os.environ[name]
    os.environ.update(environment)
    os.chdir(log.parent)
    import mlflow.cli
    import mlflow.server
    import uvicorn

    def here(command, extra_env, **_):
        """Run the command that it would start, `python -m uvicorn ...`, in this process."""
        os.environ.update(extra_env)
        uvicorn.main(command[3:])

    mlflow.server._exec_cmd = here
    mlflow.cli.cli(["server", *map(str, arguments)])


class Server:
    """`mlflow server`, which keeps runs in PostgreSQL and serves artifacts from a folder of its own.

    Attributes:
        uri: Its address; the same after a restart.
        login: Its address with a user and a password in it.
        cluster: Its PostgreSQL.
        artifacts: The folder that it keeps artifacts in.
    """

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.artifacts = folder / "artifacts"
        self._log = folder / "server.log"
        self._log.touch()
        self._process = None
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.login = f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"
        FORKS.set_forkserver_preload(IMPORTED)
        # The first start makes the schema, which takes seconds; tests then copy it.
        cluster.sql(f"CREATE DATABASE {DATABASE}")
        try:
            self.start()
            cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'")
            cluster.sql(f"ALTER DATABASE {DATABASE} RENAME TO {TEMPLATE}")
        except BaseException:
            self.kill()
            raise

    @property
    def log(self):
        """What it wrote since its first start."""
        return self._log.read_text()

    @property
    def runs(self):
        return self._process is not None and self._process.is_alive()

    def start(self):
        """Start it, unless it runs, and wait until it answers."""
        if self.runs:
            return
        environment = {
            # Here, since anybody may see the command line. SQLAlchemy's own choice of driver depends on its version.
            "MLFLOW_BACKEND_STORE_URI": self.cluster.uri(DATABASE, "postgresql+psycopg2"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # three more processes, for what nobody asks for here
        }
        arguments = ["--host", "127.0.0.1", "--port", self.port, "--workers", 1]
        arguments += ["--artifacts-destination", self.artifacts]
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # the first start makes the process that is forked
        self._process = FORKS.Process(target=_serve, args=(arguments, environment, self._log), daemon=True)
        self._process.start()
        wait_until(lambda: self._answers() or not self.runs, lambda: self.log)
        assert self.runs, self.log

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def kill(self):
        """End all its processes at once, whatever they are doing."""
        if self._process is None or self._process.pid is None:  # an interrupt came before it was there
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # it may not have come so far as to have a group
        self._process.join()
        wait_until(lambda: not self._answers(), lambda: "a killed server still answers")

    def empty(self):
        """Forget all that was logged."""
        self.cluster.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self.cluster.sql(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")
        shutil.rmtree(self.artifacts, ignore_errors=True)

    def sql(self, query):
        """Ask the database, past the server; gives the rows."""
        return self.cluster.sql(query, DATABASE)

    def tables(self):
        """All rows of all tables, as text."""
        tables = {name: [] for (name,) in self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        for name, row in self.sql(" UNION ALL ".join(f"SELECT '{t}', x::text FROM \"{t}\" x" for t in tables)):
            tables[name].append(row)
        return {name: sorted(found) for name, found in tables.items()}

    def counts(self):
        """How many rows each table has."""
        return {name: len(rows) for name, rows in self.tables().items()}

    def files(self):
        """Each file of the artifacts, with the time of its last change."""
        return {path: path.stat().st_mtime_ns for path in self.artifacts.rglob("*") if path.is_file()}

    def picture(self):
        """All runs as they look whenever they were logged, sorted by name.

        A run is its name, status, parameters, tags, points of metrics and files, each as often as it is there. Ids of
        runs are replaced by their names.
        """
        runs = {key: (name, status) for key, name, status in self.sql("SELECT run_uuid, name, status FROM runs")}

        def named(text):
            for key, (name, _) in runs.items():
                text = text.replace(key, name)
            return text

        params, tags, metrics, files = (defaultdict(list) for _ in range(4))
        for key, name, value in self.sql("SELECT run_uuid, key, value FROM params"):
            params[key].append((name, value))
        for key, name, value in self.sql("SELECT run_uuid, key, value FROM tags"):
            tags[key].append((name, named(value)))
        for key, *point in self.sql("SELECT run_uuid, key, step, value, is_nan FROM metrics"):
            metrics[key].append(tuple(point))
        for path in self.files():
            _, key, _, *parts = path.relative_to(self.artifacts).parts
            files[key].append(("/".join(parts), named(path.read_bytes().decode("latin-1"))))
        return sorted(
            (name, status, *(sorted(found[key]) for found in (params, tags, metrics, files)))
            for key, (name, status) in runs.items()
        )

    def secrets(self):
        """What nobody may find anywhere."""
        return [PASSWORD, self.cluster.password]
