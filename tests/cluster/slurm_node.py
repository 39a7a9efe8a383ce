"""A SLURM of one node, made for the tests: munge, a database for its accounting (submitit asks `sacct`), its daemons.

All of it is in a folder of its own, listens on loopback only, on ports that were free, and runs as this user.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

PROGRAMS = ("munged", "mariadbd", "mariadb", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "srun",
            "sacct")  # fmt: skip
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_PATIENCE = 60
_LOOPBACK = "127.0.0.1"
_SLURM = """
ClusterName=tests
SlurmctldHost={host}({loopback})
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={loopback}
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge.socket
JobAcctGatherType=jobacct_gather/linux
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr={loopback} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:2
"""
_ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr={loopback}
DbdPort={accounting}
SlurmUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost={loopback}
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""


def missing() -> str:
    """What there is not; empty if nothing is missing."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    return f"no {', '.join(absent)}: install slurm-wlm, munge, slurmdbd and mariadb-server" if absent else ""


class Node:
    """The daemons, until `stop`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # paths of sockets may not be long
        self.folder.chmod(0o755)
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self._said = ""
        self._started: list[tuple[str, Path]] = []
        try:
            self._configure()
            self._start_all()
        except BaseException:
            self.stop()
            raise

    def _configure(self) -> None:
        names = ("controller", "daemon", "accounting", "database")
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._password = secrets.token_hex(16)
        values = self._ports | {
            "host": socket.gethostname().partition(".")[0],
            "loopback": _LOOPBACK,
            "folder": self.folder,
            "user": getpass.getuser(),
            "password": self._password,
            "cpus": os.cpu_count(),
            "memory": psutil.virtual_memory().total // 2**20 * 9 // 10,
        }
        for name, text in (("slurm.conf", _SLURM), ("slurmdbd.conf", _ACCOUNTING)):
            (self.folder / name).write_text(text.format(**values))
        (self.folder / "slurmdbd.conf").chmod(0o600)
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (self.folder / "munge.key").chmod(0o600)
        for name in ("state", "spool", "data"):
            (self.folder / name).mkdir()

    def _start_all(self) -> None:
        here = self.folder
        files = [f"--{name}-file={here}/munge.{end}" for name, end in
                 (("key", "key"), ("pid", "pid"), ("log", "log"), ("seed", "seed"))]  # fmt: skip
        self._start("munged", "--force", f"--socket={here}/munge.socket", *files, pid="munge.pid")
        data = ("--no-defaults", f"--datadir={here}/data", f"--user={getpass.getuser()}")
        self.run("mariadb-install-db", *data, "--auth-root-authentication-method=normal", "--skip-test-db")
        self._start(
            "mariadbd", *data, f"--socket={here}/sql.socket", f"--port={self._ports['database']}",
            f"--bind-address={_LOOPBACK}", f"--pid-file={here}/mariadbd.pid", "--skip-name-resolve",
            pid="mariadbd.pid", background=True,
        )  # fmt: skip
        account = f"slurm@'{_LOOPBACK}'"
        sql = f"CREATE USER {account} IDENTIFIED BY '{self._password}'; GRANT ALL ON slurm_acct_db.* TO {account};"
        client = ("mariadb", "--no-defaults", f"--socket={here}/sql.socket", "--user=root")
        self._until(lambda: not self._fails(*client, "--execute=SELECT 1"), "mariadbd")
        self.run(*client, f"--execute={sql}")
        self._start("slurmdbd", pid="slurmdbd.pid")
        self._until(lambda: not self._fails("sacctmgr", "--noheader", "list", "cluster"), "slurmdbd")
        self._start("slurmctld", pid="slurmctld.pid")
        self._start("slurmd", pid="slurmd.pid")
        self._until(lambda: self._says("sinfo", "--noheader", "--format=%T") == "idle", "slurmd")
        self._until(lambda: "tests" in self._says("sacctmgr", "--noheader", "list", "cluster"), "slurmctld")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of its programs."""
        environment = os.environ | self.environment | {"PATH": _PATH}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        self._said = f"{command[0]}: {result.stdout}{result.stderr}"
        if check and result.returncode:
            raise AssertionError(f"{command[0]} failed: {result.stdout}{result.stderr}{self.logs()}")
        return result

    def _fails(self, *command: str) -> bool:
        return self.run(*command, check=False).returncode != 0

    def _says(self, *command: str) -> str:
        return self.run(*command, check=False).stdout.strip()

    def _start(self, *command: str, pid: str, background: bool = False) -> None:
        self._started.append((command[0], self.folder / pid))
        if background:
            with (self.folder / f"{command[0]}.log").open("wb") as log:
                subprocess.Popen(
                    command, env=os.environ | {"PATH": _PATH}, stdout=log, stderr=log, start_new_session=True
                )
        else:
            self.run(*command)
        self._until((self.folder / pid).exists, command[0])

    def _until(self, condition, what: str) -> None:
        until = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"{what} does not get ready; {self._said}{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """The end of what each daemon says."""
        ends = (f"\n== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in self.folder.glob("*.log"))
        return "".join(sorted(ends))

    def stop(self) -> None:
        """End the daemons by the PID files that they wrote, the last one first, and remove all of it."""
        for program, path in reversed(self._started):
            try:
                process = psutil.Process(int(path.read_text()))
                if program in process.name() or program in " ".join(process.cmdline()):
                    process.send_signal(signal.SIGTERM)
                    process.wait(20)
            except (OSError, ValueError, psutil.NoSuchProcess):
                continue
            except psutil.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((_LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
