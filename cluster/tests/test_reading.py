"""What a body says about where it should go."""

import gzip
import json
import zlib

import pytest

from minerva_cluster.board import Ask
from minerva_cluster.reading import MOST_PREFIXES, TooLarge, ask_of, unpack


def ask(document: object, key: str = "", content_type: str = "application/json", named: str = "") -> Ask:
    return ask_of(json.dumps(document).encode(), content_type, key, named)[0]


def keys(document: object, key: str = "") -> list[int]:
    return [prefix.key for prefix in ask(document, key).prefixes]


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text} for text in texts]


def test_the_model_and_whether_it_streams() -> None:
    assert ask_of(b'{"model": "m", "stream": true}', "application/json", "")[1] is True
    assert ask({"model": "m"}).model == "m"
    assert ask({}, named="n").model == "n"
    for body in (b"", b"{", b"[]", b'{"model": 3}', b"\xff\xfe", b"[" * 100_000):
        assert ask_of(body, "application/json", "", "n") == (Ask("n"), False)


def test_a_form_names_its_model() -> None:
    part = b"--x\r\nContent-Disposition: form-data; name="
    form = part + b'"file"\r\n\r\nabc\r\n' + part + b'"model"\r\n\r\nwhisper\r\n--x--\r\n'
    assert ask_of(form, "multipart/form-data; boundary=x", "")[0] == Ask("whisper")
    assert ask_of(b"--x--", "multipart/form-data; boundary=x", "")[0] == Ask("")


def test_a_later_turn_begins_with_the_earlier_ones() -> None:
    first = keys({"model": "m", "messages": turns("a", "b")})
    later = keys({"model": "m", "messages": turns("a", "b", "c", "d"), "max_tokens": 3})
    assert later[: len(first)] == first
    assert len(set(later)) == 4
    assert keys({"model": "m", "messages": turns("a", "c")})[1] not in later


def test_other_models_keys_and_systems_share_nothing() -> None:
    document = {"model": "m", "messages": turns("a", "b")}
    same = set(keys(document, "key"))
    assert not same & set(keys(document, "other"))
    assert not same & set(keys({**document, "model": "n"}, "key"))
    assert not same & set(keys({**document, "system": "Be brief."}, "key"))


def test_a_text_is_cut_into_blocks() -> None:
    short = keys({"model": "m", "prompt": "x" * 2048})
    assert keys({"model": "m", "prompt": "x" * 4000})[:2] == short
    assert ask({"model": "m", "prompt": "x" * 4000}).characters == 4000
    assert len(keys({"model": "m", "prompt": "x" * 1_000_000})) == MOST_PREFIXES
    assert keys({"model": "m", "prompt": "x" * 1_000_000})[0] == short[0]


def test_strange_documents() -> None:
    assert keys({"model": "m", "messages": 3}) == []
    assert len(keys({"model": "m", "messages": [None, 3, {"content": [{"type": "text", "text": "\ud800"}]}]})) == 3
    assert len(keys({"model": "m", "input": "abc"})) == 1
    assert len(keys({"model": "m", "input": ["abc", "def"]})) == 2


def test_encodings() -> None:
    body = b'{"model": "m"}' * 10
    assert unpack(body, "", 1000) == body
    assert unpack(gzip.compress(body), "gzip", 1000) == body
    assert unpack(zlib.compress(body), "deflate", 1000) == body
    assert unpack(gzip.compress(zlib.compress(body)), "deflate, gzip", 1000) == body
    assert unpack(body, "gzip", 1000) is None
    assert unpack(body, "br", 1000) is None
    with pytest.raises(TooLarge):
        unpack(gzip.compress(b"0" * 10_000_000), "gzip", 1000)
    import zstandard

    assert unpack(zstandard.compress(body), "zstd", 1000) == body
    assert unpack(body, "zstd", 1000) is None
    with pytest.raises(TooLarge):
        unpack(zstandard.compress(b"0" * 10_000_000), "zstd", 1000)
