"""Settings of a cluster, from a TOML file in the style of the daemon's: each key has a unit, a default and a meaning, and
an unknown key or a wrong type is an error that says where.

`minerva-cluster up --check` prints all of them. It does not know Ray.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import logging
import os
import pathlib
import re
import tomllib
from typing import Any


class ConfigError(Exception):
    """A mistake in the file, as a sentence with its place."""


def _key(default: object, meaning: str) -> Any:
    return dataclasses.field(default=default, metadata={"meaning": meaning})


@dataclasses.dataclass(frozen=True)
class Config:
    listen: str = _key("127.0.0.1:8000", "Address and port of the endpoint.")
    url_of_ray: str = _key("", "Address of a running Ray cluster (host:port, or auto); empty: start Ray on this machine.")
    allowed_hosts: tuple[str, ...] = _key((), "Names that the endpoint is called by, beside its address.")
    max_body: str = _key("32MiB", "Largest body of a request, also once it is unpacked.")
    max_requests: int = _key(1000, "Requests in flight on one node. Further ones wait in the ingress.")
    ingresses: int = _key(1, "Replicas of the ingress.")
    wait_for_node: str = _key("60s", "How long a request waits while no node can take it, as in a restart.")
    drain: str = _key("10m", "How long a node that leaves may finish its requests.")
    give_back: str = _key("5m", "A model that is hot on two nodes without need for so long is parked on one; 0s: never.")


@dataclasses.dataclass(frozen=True)
class NodeConfig:
    resource: str = _key("minerva", "Ray resource that a machine has, one of it, if a node belongs there.")
    daemon: str = _key("", "Address of a daemon that runs on each node (http://..., unix:...); empty: start one there.")
    program: str = _key("minerva", "The daemon's program, for daemons that are started.")
    config: str = _key("", "The daemon's own config file. {node} stands for the node's name in this and in arguments.")
    arguments: tuple[str, ...] = _key((), "Further arguments of `minerva serve`.")
    admin_key_file: str = _key("", "File with an admin key of the daemons, where these need keys; of mode 600.")
    start_timeout: str = _key("2m", "How long a daemon may take until it is ready.")
    answer_timeout: str = _key("30s", "A daemon that answers no question for so long hangs: it is killed and started again.")


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
    cluster: Config = dataclasses.field(default_factory=Config)
    node: NodeConfig = dataclasses.field(default_factory=NodeConfig)

    @property
    def address(self) -> tuple[str, int]:
        return parse_address(self.cluster.listen)

    @property
    def is_public(self) -> bool:
        """Whether other machines reach the endpoint."""
        host = self.address[0]
        if host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return True


_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_B = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not match:
        raise ConfigError(f'"{text}" is no duration: write a number and ms, s, m, h or d, such as "30s"')
    return float(match[1]) * _UNITS_S[match[2]]


def count_of_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)(B|KiB|MiB|GiB|)", text)
    if not match:
        raise ConfigError(f'"{text}" is no size: write a number and KiB, MiB or GiB, such as "32MiB"')
    return int(match[1]) * _UNITS_B[match[2]]


def parse_address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"\[([0-9a-fA-F:]+)\]:(\d{1,5})|([^:\s]+):(\d{1,5})", text)
    port = int(match[2] or match[4]) if match else -1
    if not match or port > 65535:
        raise ConfigError(f'"{text}" is no address: write ADDRESS:PORT, such as "127.0.0.1:8000"')
    return match[1] or match[3], port


def parse(text: str, source: str) -> ClusterConfig:
    """Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {error}") from None
    node = document.pop("node", {})
    if not isinstance(node, dict):
        raise ConfigError(f"{source}:{_line(text, '', 'node')}: node is a table: write [node]")
    config = ClusterConfig(
        Config(**_fields(Config, document, text, source, "")),
        NodeConfig(**_fields(NodeConfig, node, text, source, "node")),
    )
    for table, key, check in (
        ("", "listen", parse_address),
        ("", "max_body", count_of_bytes),
        ("", "wait_for_node", seconds),
        ("", "drain", seconds),
        ("", "give_back", seconds),
        ("node", "start_timeout", seconds),
        ("node", "answer_timeout", seconds),
    ):
        try:
            check(getattr(config.node if table else config.cluster, key))
        except ConfigError as error:
            raise ConfigError(f"{source}:{_line(text, table, key)}: {key}: {error}") from None
    return config


def read(path: pathlib.Path) -> ClusterConfig:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    return parse(text, str(path))


def prepare_ray() -> None:
    """Sets what a Ray that this process starts reads from its environment, and what Serve says in this process."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    for name, value in (
        # Ray's workers are nice, and so would the daemons and engines below them be: on a machine with other work a request
        # then takes seconds for each token.
        ("RAY_worker_niceness", "0"),
        # Serve's access log would have a line for each request and each watch.
        ("RAY_SERVE_LOG_TO_STDERR", "0"),
        ("RAY_USAGE_STATS_ENABLED", "0"),
    ):
        os.environ.setdefault(name, value)


def _fields(kind: type[Config] | type[NodeConfig], table: dict[str, Any], text: str, source: str, name: str) -> dict[str, Any]:
    known = {field.name: field for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        place = f"{source}:{_line(text, name, key)}"
        if key not in known and isinstance(value, dict):
            raise ConfigError(f"{place}: there is no table [{key}]; there is [node]")
        if key not in known:
            raise ConfigError(f'{place}: there is no setting "{key}"; there are: {", ".join(known)}')
        wanted = type(known[key].default)
        if wanted is tuple:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f'{place}: "{key}" is a list of strings')
            value = tuple(value)
        elif type(value) is not wanted:
            kinds = {str: "a string", int: "a whole number"}
            raise ConfigError(f'{place}: "{key}" is {kinds[wanted]}')
        elif isinstance(value, int) and value < 1:
            raise ConfigError(f'{place}: "{key}" is at least 1')
        values[key] = value
    return values


def _line(text: str, table: str, key: str) -> int:
    """The number of the line where a key of a table is set."""
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([\w.\"-]+)", line)
        if header:
            here = header[1]
            if not table and here.split(".")[0].strip('"') == key:
                return number
        elif here == table and re.match(rf'\s*"?{re.escape(key)}"?\s*[=.]', line):
            return number
    return 1


def reference(config: ClusterConfig | None = None) -> str:
    """Every setting with its value and meaning, as a config file."""
    config = config or ClusterConfig()
    lines: list[str] = []
    for title, table in (("", config.cluster), ("[node]", config.node)):
        lines += ["", title] if title else []
        for field in dataclasses.fields(table):
            value = getattr(table, field.name)
            # JSON's strings and lists are TOML's too.
            shown = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
            lines.append(f"{field.name} = {shown}  # {field.metadata['meaning']}")
    return "\n".join(lines) + "\n"
