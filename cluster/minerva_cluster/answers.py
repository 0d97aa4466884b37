"""The answer to a client, and what of it the client has seen so far.

A request that was given to a node that died is given to another one as long as the client has seen nothing of an answer;
heartbeats, which are comments, are no answer. It does not know Ray.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from minerva_cluster.wire import Head

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the cluster's own. Codes and types are those of the daemon (src/base/error.cc)."""

    status: int
    code: str
    message: str
    kind: str = "api_error"
    retry_after_s: int | None = None
    allow: str = ""  # the methods of the route

    def document(self, path: str) -> dict[str, Any]:
        """In the shape of the API that was called."""
        if path.startswith("/api/"):
            return {"error": self.message}
        if path.endswith("/messages") or "/messages/" in path:
            return {"type": "error", "error": {"type": self.kind, "message": self.message}}
        return {"error": {"message": self.message, "type": self.kind, "param": None, "code": self.code}}


def not_found(path: str) -> Refusal:
    return Refusal(
        404,
        "route_not_found",
        f"The cluster's endpoint has no {path}. Routes that concern one machine are those of its own daemon.",
        "invalid_request_error",
    )


def wrong_method(method: str, path: str, methods: list[str]) -> Refusal:
    allow = ", ".join(methods)
    text = f"{method} is not allowed for {path}; it takes {allow}."
    return Refusal(405, "method_not_allowed", text, "invalid_request_error", allow=allow)


class Comments:
    """Tells whether a stream of server-sent events has had anything but comments."""

    def __init__(self) -> None:
        self.only = True
        self._in_comment = False
        self._at_start = True

    def take(self, piece: bytes) -> None:
        if not self.only:
            return
        for line in piece.splitlines(keepends=True):
            if self._at_start:
                self._in_comment = line.startswith(b":")
                if not self._in_comment and line.strip(b"\r\n"):
                    self.only = False
                    return
            self._at_start = line.endswith((b"\n", b"\r"))


class Answer:
    """To one request."""

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self._path = path
        self._begun = False
        self._is_stream = False
        self._ended = False
        self._comments = Comments()

    @property
    def has_begun(self) -> bool:
        """Whether the client has seen anything of an answer."""
        return self._begun and not (self._is_stream and self._comments.only)

    @property
    def has_ended(self) -> bool:
        return self._ended

    async def begin(self, head: Head) -> bool:
        """False: the client has the head of a stream already, and this one says that there will be none."""
        if self._begun:
            return head.status == 200
        self._begun = True
        self._is_stream = any(n.lower() == "content-type" and v.startswith("text/event-stream") for n, v in head.headers)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers]
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})
        return True

    async def piece(self, piece: bytes) -> None:
        self._comments.take(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        self._ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, refusal: Refusal) -> None:
        """Ends the answer with an error: by its status, or within a stream by an event.

        An answer that is neither a stream nor new is cut off, so that no client takes a part for the whole."""
        document = json.dumps(refusal.document(self._path)).encode()
        if self._begun and self._is_stream:
            name = b"event: error\n" if self._path.endswith("/messages") else b""
            await self.piece(b"\n\n" + name + b"data: " + document + b"\n\n")
            await self.end()
            return
        if self._begun:
            raise CutOff(refusal.message)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(document)).encode())]
        if refusal.retry_after_s is not None:
            headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
        if refusal.allow:
            headers.append((b"allow", refusal.allow.encode()))
        self._begun = True
        await self._send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": document, "more_body": False})
        self._ended = True

    async def error_event(self, body: bytes) -> None:
        """A refusal that came after the head of a stream."""
        await self.piece(b"data: " + b" ".join(body.split(b"\n")) + b"\n\n")
        await self.end()


class CutOff(Exception):
    """The answer ends before its end."""
