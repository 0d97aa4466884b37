"""`minerva-cluster`: brings a cluster up and shows how it is. Exit codes are those of `minerva`: 0 done, 1 failed,
2 wrong usage, 3 unreachable."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

from minerva_cluster.config import ClusterConfig, ConfigError, prepare_ray, read, reference, seconds

LOOK_S = 0.5
TIMEOUT_S = 10.0


class Unreachable(Exception):
    pass


class Refused(Exception):
    pass


def fetch(url: str, api_key: str) -> dict[str, Any]:
    """GET /v1/cluster. Raises Unreachable and Refused."""
    request = urllib.request.Request(url.rstrip("/") + "/v1/cluster")
    if api_key:
        request.add_header("Authorization", f"Bearer {api_key}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        try:
            message = json.load(error)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            raise _starting(url) from None
        raise Refused(message) from None
    except (OSError, ValueError) as error:
        raise Unreachable(f"no cluster answers at {url}: {error}. Is it up?") from None


def _starting(url: str) -> Unreachable:
    return Unreachable(f"what answers at {url} is no cluster, or it is still starting: `minerva-cluster up` says how far it is")


def as_table(document: dict[str, Any]) -> str:
    nodes = document["nodes"]
    if not nodes:
        return "No node is ready yet.\n"
    rows = [("NODE", "MEMORY", "MODELS IN MEMORY")]
    for node in nodes:
        used, budget = node.get("estimated_memory_mb", 0), node.get("memory_budget_mb", 0)
        models = ", ".join(f"{model['id']} ({_state(model)})" for model in node["models"]) or "none"
        memory = f"{used} of {budget} MiB" if node.get("reachable", True) else "unreachable"
        rows.append((str(node["name"]), memory, models))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "".join(f"{name:<{widths[0]}}  {memory:<{widths[1]}}  {models}\n" for name, memory, models in rows)


def _state(model: dict[str, Any]) -> str:
    busy = f", {model['in_flight']} of {model['slots']} slots" if model["in_flight"] else ""
    return f"{model['state']}{busy}"


def status(arguments: argparse.Namespace) -> int:
    try:
        document = fetch(arguments.url, arguments.api_key)
    except Unreachable as error:
        return fail(str(error), 3)
    except Refused as error:
        return fail(str(error), 1)
    print(json.dumps(document) if arguments.json else as_table(document), end="\n" if arguments.json else "")
    return 0


def drain(arguments: argparse.Namespace) -> int:
    try:
        at_most = seconds(arguments.at_most)
    except ConfigError as error:
        return fail(f"--at-most: {error}", 2)
    try:
        connect(arguments.ray)
    except Unreachable as error:
        return fail(str(error), 3)
    from minerva_cluster import machines

    machine = machines.machine_called(arguments.node)
    if machine is None:
        return fail(f"Ray has no machine called {arguments.node}; `status` names them", 1)
    try:
        machines.drain(machine, at_most)
    except RuntimeError as error:
        return fail(str(error), 1)
    print(f"{arguments.node} gets no new requests. Once `status` no longer shows it, stop Ray there.")
    return 0


def down(arguments: argparse.Namespace) -> int:
    try:
        connect(arguments.ray)
    except Unreachable as error:
        return fail(str(error), 3)
    from minerva_cluster import app

    if not app.is_up():
        return fail("no cluster is up there", 1)
    print("draining", file=sys.stderr, flush=True)
    app.stop()
    return 0


def fail(sentence: str, code: int) -> int:
    print(f"minerva-cluster: {sentence}", file=sys.stderr)
    return code


class Progress:
    """On a terminal one line that changes, else a line for each change."""

    def __init__(self) -> None:
        self._last = ""
        self._is_terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if text == self._last:
            return
        self._last = text
        print(
            f"\r\033[K{text}" if self._is_terminal else text,
            end="" if self._is_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def end(self) -> None:
        if self._is_terminal and self._last:
            print(file=sys.stderr)


def up(arguments: argparse.Namespace) -> int:
    try:
        config = read(pathlib.Path(arguments.config)) if arguments.config else ClusterConfig()
    except ConfigError as error:
        return fail(str(error), 2)
    if arguments.check:
        print(reference(config), end="")
        return 0

    progress = Progress()
    progress.show("connecting to Ray" if config.cluster.url_of_ray else "starting Ray on this machine")
    try:
        connect(config.cluster.url_of_ray, config.node.resource)
    except Unreachable as error:
        progress.end()
        return fail(str(error), 3)
    from minerva_cluster import app

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # not before: Ray has just set its own
        signal.signal(number, lambda *_: ended.set())
    if not app.is_installed():
        return fail("Ray's Python has no minerva_cluster: install it on each machine, and start Ray with it", 1)
    if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1" and not config.is_public:
        progress.end()
        fail(
            f"HAProxy cannot reach the endpoint at {config.cluster.listen}, so Ray's Python proxy stays before it. "
            "Set listen to an address that other machines reach.",
            0,
        )
    if app.is_up():
        progress.show("a cluster is up already: its nodes are replaced, each once it has answered what it has")
        progress.end()
    progress.show("starting the endpoint")
    try:
        app.start(config)
    except app.CannotServe as error:
        progress.end()
        return fail(str(error), 1)
    host, port = config.address
    url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    reason = show_nodes(url, config, arguments.api_key, progress, ended)
    progress.end()
    if reason:
        fail(f"a node cannot start: {reason}", 1)
    elif arguments.detach:
        print(f"Serving at {url}/v1. `minerva-cluster down` ends it.", flush=True)
        return 0
    elif not ended.is_set():
        print(f"Serving at {url}/v1. Ctrl-C ends it.", flush=True)
        ended.wait()
    progress.show("draining")
    app.stop()
    progress.end()
    return 1 if reason else 0


def connect(address: str, resource: str = "") -> None:
    """To the Ray there; empty: one that this process starts, on a machine with `resource`. Raises Unreachable."""
    import ray

    prepare_ray()
    # The last words of each machine that dies, some forty lines; Ray has no setting for it.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    if not address:
        ray.init(
            address="local",
            include_dashboard=False,
            resources={resource: 1},
            namespace="minerva",
            log_to_driver=False,
            logging_level="error",
        )
        return
    host, _, port = address.rpartition(":")
    hint = "Start it with: ray start --head"
    if host and port.isdigit():
        try:  # Ray itself takes a minute to say so
            socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S).close()
        except OSError as error:
            raise Unreachable(f"no Ray answers at {address}: {error}. {hint}") from None
    try:
        ray.init(address=address, namespace="minerva", log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError) as error:
        if os.environ.get("RAY_AUTH_MODE") != "token":
            hint += ". If it needs a token: export RAY_AUTH_MODE=token"
        raise Unreachable(f"{str(error).rstrip('.')}. {hint}") from None


def show_nodes(url: str, config: ClusterConfig, api_key: str, progress: Progress, ended: threading.Event) -> str:
    """Until every machine has its node. Returns why one cannot start, if none can."""
    from minerva_cluster import app
    from minerva_cluster.machines import machines

    while not ended.is_set():
        wanted = len(machines(config.node.resource))
        try:
            ready = sum(1 for node in fetch(url, api_key)["nodes"] if node["reachable"])
        except (Unreachable, Refused) as error:
            ready = 0
            if isinstance(error, Refused) and "key" in str(error).lower():
                progress.show("the daemons need a key: --api-key shows their progress")
                return ""
        progress.show(f"{ready} of {wanted} nodes ready")
        if wanted and ready >= wanted:
            return ""
        if ready == 0 and (reason := app.why_no_node_starts()):
            return reason
        ended.wait(LOOK_S)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="minerva-cluster", description="Many Minervas behind one endpoint, on Ray Serve.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, text in (
        ("up", up, "bring the cluster up"),
        ("status", status, "show the nodes and their models"),
        ("drain", drain, "let a node end its requests, and give it no new ones"),
        ("down", down, "end the cluster: the endpoint and the nodes"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        command.add_argument("--api-key", default=os.environ.get("MINERVA_API_KEY", ""), help="env MINERVA_API_KEY")
        if name == "up":
            command.add_argument("--config", help="a TOML file")
            command.add_argument(
                "--check", action="store_true", help="check the file, and print every setting with its value and meaning"
            )
            command.add_argument("--detach", action="store_true", help="leave it running in the Ray cluster")
        elif name in ("drain", "down"):
            command.add_argument("--ray", default="auto", help="address of the Ray cluster")
        if name == "drain":
            command.add_argument("node", help="as `status` calls it")
            command.add_argument("--at-most", default="10m", help="after that, requests are cut off")
        if name == "status":
            command.add_argument("--url", default=os.environ.get("MINERVA_URL", "http://127.0.0.1:8000"))
            command.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
