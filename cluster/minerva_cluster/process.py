"""What ingress and router of one process have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ray.serve.request_router import PendingRequest

from minerva_cluster.board import Board
from minerva_cluster.wire import Call


class Shared:
    def __init__(self) -> None:
        self.board = Board()
        self.lock = threading.Lock()
        self.replicas: frozenset[str] = frozenset()
        self.on_replicas: Callable[[frozenset[str]], None] = lambda replicas: None
        self.routed: dict[str, Callable[[str], None]] = {}  # by Call.key: called with the node

    def set_replicas(self, replicas: frozenset[str]) -> None:
        with self.lock:
            gone = self.replicas - replicas
            self.replicas = replicas
        for replica in gone:
            self.board.remove(replica)
        self.on_replicas(replicas)


shared = Shared()


def call_of(pending_request: PendingRequest | None) -> Call | None:
    if pending_request is None or not pending_request.args:
        return None
    call = pending_request.args[0]
    return call if isinstance(call, Call) else None
