"""What a request's body says about where it should go: the model, whether it streams, and how its conversation begins.

Pure. The body is foreign: a body that is not understood names no model, and the node's daemon refuses it in its own
words. It does not judge a request.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator

import zstandard

from minerva_cluster.board import Ask, Prefix

BLOCK = 1024  # characters of a prompt that is one text
MOST_PREFIXES = 64
_FORM_FIELD = re.compile(rb'name="model"(?:\r\n[^\r\n]*)*?\r\n\r\n([^\r\n]{1,200})\r\n')


class TooLarge(Exception):
    """The body is larger than the limit once it is unpacked."""


def unpack(body: bytes, encoding: str, limit: int) -> bytes | None:
    """The body without its content encoding; None if that is not known here, or is broken. Raises TooLarge."""
    for name in reversed([part.strip().lower() for part in encoding.split(",") if part.strip()]):
        try:
            if name in ("gzip", "x-gzip", "deflate"):
                body = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, limit + 1)
            elif name == "zstd":
                body = zstandard.ZstdDecompressor().stream_reader(body).read(limit + 1)
            elif name != "identity":
                return None
        except (zlib.error, zstandard.ZstdError):
            return None
        if len(body) > limit:
            raise TooLarge
    return body


def ask_of(body: bytes, content_type: str, api_key: str, named: str = "") -> tuple[Ask, bool]:
    """What a body asks for, and whether for a stream. `named`: the model that the address names."""
    if content_type.startswith("multipart/form-data"):
        field = _FORM_FIELD.search(body)
        return Ask(field[1].decode("utf-8", "replace") if field else named), False
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Ask(named), False
    if not isinstance(document, dict):
        return Ask(named), False
    model = document.get("model")
    model = model if isinstance(model, str) and model else named
    return Ask(model, prefixes_of(document, model, api_key)), document.get("stream") is True


def prefixes_of(document: dict[str, object], model: str, api_key: str) -> tuple[Prefix, ...]:
    """A chain of hashes: each block's with that of the block before. Conversations of two API keys have nothing in
    common, as in the daemons."""
    state = hashlib.blake2b(digest_size=8)
    for part in (model, api_key):
        state.update(part.encode("utf-8", "surrogatepass") + b"\0")
    prefixes: list[Prefix] = []
    characters = 0
    for block in blocks_of(document):
        state.update(block.encode("utf-8", "surrogatepass") + b"\0")
        characters += len(block)
        prefixes.append(Prefix(int.from_bytes(state.copy().digest(), "little"), characters))
    # Of a long conversation the first block, which names it, and the latest ones, which tell what a node keeps of it.
    if len(prefixes) > MOST_PREFIXES:
        prefixes = prefixes[:1] + prefixes[1 - MOST_PREFIXES :]
    return tuple(prefixes)


def blocks_of(document: dict[str, object]) -> Iterator[str]:
    """The prompt, cut where a later turn of the same conversation has a cut too."""
    system = document.get("system")  # Anthropic's
    if system is not None:
        yield _text(system)
    messages = document.get("messages")
    turns = messages if isinstance(messages, list) else document.get("input")  # the latter: /v1/responses, embeddings
    if isinstance(turns, list):
        for turn in turns:
            yield _text(turn)
        return
    prompt = document.get("prompt", turns)
    if prompt is None:
        return
    text = _text(prompt)
    for begin in range(0, len(text), BLOCK):
        yield text[begin : begin + BLOCK]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        return f"{value.get('role')}\0{value['content']}"
    return json.dumps(value, sort_keys=True)
