"""An MLflow server on PostgreSQL: started, killed and started again, with its database and files looked at directly."""

import os
import shutil
import sys
import urllib.error
import urllib.request
from collections import defaultdict

from tests.server.processes import Guarded, free_port, wait_until

TEMPLATE, DATABASE = "template", "mlflow"
USER, PASSWORD = "someone", "secret-word"
"""Who the client says it is. The server does not ask, but it is addressed so behind a proxy that does."""


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
        # The first start makes the schema, which takes seconds; tests then copy it.
        cluster.sql(f"CREATE DATABASE {DATABASE}")
        try:
            self.start()
            cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'")
            cluster.sql(f"ALTER DATABASE {DATABASE} RENAME TO {TEMPLATE}")
        except BaseException:
            self.stop()
            raise

    @property
    def log(self):
        """What it wrote since its first start."""
        return self._log.read_text()

    @property
    def runs(self):
        return self._process is not None and self._process.runs

    def start(self):
        """Start it, unless it runs, and wait until it answers."""
        if self.runs:
            return
        own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
        # In the environment, since anybody may see the command line. SQLAlchemy's own choice of driver varies.
        own["MLFLOW_BACKEND_STORE_URI"] = self.cluster.uri(DATABASE, "postgresql+psycopg2")
        own["MLFLOW_DISABLE_TELEMETRY"] = "true"
        own["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # three more processes, for what nobody asks for here
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.port]
        command += ["--workers", "1", "--artifacts-destination", self.artifacts]
        self._process = Guarded(command, self._log, env=own, cwd=self._log.parent)
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
        if self._process:
            self._process.kill()
            wait_until(lambda: not self._answers(), lambda: "a killed server still answers")

    def stop(self):
        if self._process:
            self._process.stop()

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
        names = [name for (name,) in self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return {name: sorted(row for (row,) in self.sql(f'SELECT t::text FROM "{name}" t')) for name in names}

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
