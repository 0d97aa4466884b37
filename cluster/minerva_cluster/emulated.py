"""Several nodes on one machine, for tests, benchmarks and the demo: real daemons, each with a folder and a budget of its
own, below one Ray."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster

from minerva_cluster import app
from minerva_cluster import config as settings
from minerva_cluster.config import ClusterConfig, Config, NodeConfig
from minerva_cluster.machines import drain

PATIENCE_S = 300.0
MOST_STARTS = 5  # of one machine
OBJECT_STORE = 80 << 20  # bytes for each node: what calls carry


def wait_until(condition: Callable[[], Any], what: str, limit_s: float = PATIENCE_S) -> Any:
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit_s:.0f} s in vain until {what}")
        time.sleep(0.05)


class MachineFailed(Exception):
    """Ray's process for a machine has ended before it was ready: it gives its agents half a minute."""


_get_node = ray._private.services.get_node


def _get_node_patiently(address: str, node: str) -> Any:
    """Ray itself gives a machine 30 s to start, which is not enough where all cores compute."""

    def find() -> Any:
        try:
            return _get_node(address, node)
        except RuntimeError:
            if not processes_with(f"--node_id={node}"):
                raise MachineFailed(f"Ray's process for the machine {node} has ended") from None
            return None

    return wait_until(find, "Ray has started a machine")


ray._private.services.get_node = _get_node_patiently


def processes_with(*parts: str) -> list[int]:
    """Those whose command line has all the parts."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if all(part in command for part in parts):
            found.append(int(entry))
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Emulated:
    def __init__(
        self,
        program: pathlib.Path,
        engine: pathlib.Path,
        models: dict[str, pathlib.Path],
        nodes: Iterable[str] = ("n1", "n2"),
        arguments: Iterable[str] = (),
        daemon_config: str = "",
        without: dict[str, set[str]] | None = None,
        cluster: dict[str, Any] | None = None,
        node: dict[str, Any] | None = None,
        admin_key: str = "",
    ) -> None:
        """`without`: models whose file a node does not have. `cluster`, `node`: settings other than the defaults."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mvc-", dir="/tmp"))
        listen = (cluster or {}).get("listen", f"127.0.0.1:{free_port()}")
        self.url = f"http://{listen}"
        self.port = int(listen.rpartition(":")[2])
        self._models = models
        self._without = without or {}
        self._names = list(nodes)
        self._nodes: dict[str, Any] = {}
        self._cluster: Cluster | None = None
        (self.folder / "minerva.toml").write_text(daemon_config)
        key_file = self.folder / "admin_key"
        key_file.touch(mode=0o600)
        key_file.write_text(admin_key)
        self.config = ClusterConfig(
            Config(**{"drain": "60s", **(cluster or {}), "listen": listen}),
            NodeConfig(
                program=str(program),
                config=str(self.folder / "minerva.toml"),
                arguments=(
                    "--models-dir", f"{self.folder}/{{node}}/models", "--state-dir", f"{self.folder}/{{node}}/state",
                    "--engine", str(engine), *arguments,
                ),
                admin_key_file=str(key_file) if admin_key else "",
                **(node or {}),
            ),
        )  # fmt: skip

    # ---- life ----

    def start(self, deploy: bool = True) -> Emulated:
        """`deploy`: False: Ray alone."""
        settings.prepare_ray()
        # Many processes start at once here, on a machine that may have other work.
        os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
        os.environ.setdefault("RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S", "60")
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 2,
                "include_dashboard": False,
                "include_log_monitor": False,
                "no_monitor": True,
                "object_store_memory": OBJECT_STORE,
                "node_name": "head",
            },
        )
        for name in self._names:
            self.add(name)
        # Ray has no setting for it: the last words of each machine that dies, some forty lines.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
        ray.init(address=self._cluster.address, namespace="minerva", log_to_driver=False, logging_level="warning")
        if deploy:
            app.start(self.config)
            self.wait_for(len(self._names))
        return self

    def add(self, name: str) -> None:
        """A machine joins."""
        folder = self.folder / name / "models"
        folder.mkdir(parents=True, exist_ok=True)
        for model, file in self._models.items():
            target = folder / f"{model}.gguf"
            if model not in self._without.get(name, ()) and not target.exists():
                try:
                    os.link(file, target)
                except OSError:
                    shutil.copy(file, target)
        assert self._cluster is not None
        for attempt in range(1, MOST_STARTS + 1):
            try:
                self._nodes[name] = self._cluster.add_node(
                    num_cpus=1, resources={"minerva": 1}, object_store_memory=OBJECT_STORE, node_name=name
                )
                return
            except MachineFailed:
                if attempt == MOST_STARTS:
                    raise

    def kill(self, name: str) -> None:
        """A machine is gone, with all that ran there."""
        assert self._cluster is not None
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)

    def machine(self, name: str) -> int:
        """The process that stands for a machine: Ray's own. With it goes all that runs there."""
        (raylet,) = self._nodes[name].all_processes["raylet"]
        pid: int = raylet.process.pid
        return pid

    def is_alive(self, name: str) -> bool:
        (raylet,) = self._nodes[name].all_processes["raylet"]
        return raylet.process.poll() is None

    def drain(self, name: str) -> None:
        """A machine leaves once its requests have ended."""
        drain(self._nodes[name].node_id, settings.seconds(self.config.cluster.drain))
        wait_until(lambda: not self.daemons(name), f"the node {name} has drained")
        self.kill(name)

    def names(self) -> list[str]:
        return list(self._nodes)

    def stop(self) -> None:
        if ray.is_initialized():  # else Serve would start one
            serve.shutdown()
            ray.shutdown()
        if self._cluster is not None:
            self._cluster.shutdown()
        try:
            wait_until(lambda: not self.processes(), "no daemon and no engine is left", 60)
        finally:
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- processes ----

    def processes(self, part: str = "", node: str = "") -> list[int]:
        """Of the daemons and engines of this cluster: those with `part` in their command line."""
        return processes_with(f"{self.folder}/{node}", part)

    def daemons(self, node: str = "") -> list[int]:
        return self.processes(f"\0--state-dir\0{self.folder}/{node}", node)

    def engines(self, node: str = "", model: str = "") -> list[int]:
        return self.processes(f"\0-m\0{self.folder}/{node}" if not model else f"/models/{model}.gguf", node)

    def replica(self, node: str) -> int:
        """The process of the replica that started the node's daemon."""
        (daemon,) = self.daemons(node)
        return int(pathlib.Path(f"/proc/{daemon}/stat").read_text().rsplit(")", 1)[1].split()[1])

    # ---- HTTP ----

    def get(self, path: str, key: str = "") -> dict[str, Any]:
        request = urllib.request.Request(self.url + path)
        if key or self.admin_key:
            request.add_header("Authorization", f"Bearer {key or self.admin_key}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            document: dict[str, Any] = json.load(answer)
            return document

    @property
    def ray(self) -> str:
        """Its address."""
        assert self._cluster is not None
        return str(self._cluster.address)

    @property
    def admin_key(self) -> str:
        file = self.config.node.admin_key_file
        return pathlib.Path(file).read_text() if file else ""

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What the ingress knows, by the nodes' names; nothing while it cannot be asked."""
        try:
            nodes = self.get("/v1/cluster")["nodes"]
        except (OSError, ValueError, KeyError):
            return {}
        return {node["name"]: node for node in nodes if node["reachable"]}

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.nodes()) == count, f"{count} nodes are ready")

    def states(self, model: str) -> dict[str, str]:
        """The states of a model by node; cold ones are left out."""
        return {name: found["state"] for name, node in self.nodes().items() for found in node["models"] if found["id"] == model}
