"""Conversations outlive their engine: by an unload, a restart and a kill; and nobody finds another one's."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from harness import MINERVA, PATIENCE, Minerva, wait_until

# A few hundred tokens, so that it is worth restoring them.
LONG = " ".join(f"word{number}" for number in range(150))
KEYS = {name: {"Authorization": f"Bearer {name}"} for name in ("anna", "ben", "root")}
WITH_KEYS = 'api_keys = ["anna", "ben"]\nadmin_keys = ["root"]\n'


def turn(m, model="a", text=LONG, headers=None, **more):
    """One request whose prompt begins with `text`. Returns the answer, and how many tokens were not read again."""
    body = {"model": model, "prompt": text, "max_tokens": 8, "temperature": 0, "seed": 1, **more}
    answer = m.post("/v1/completions", body, headers=headers)
    assert answer.status == 200, answer
    return answer, answer.json["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0)


def kept(m, headers=None):
    answer = m.get("/v1/conversations", headers=headers)
    assert answer.status == 200, answer
    return answer.json


def files(m):
    """All files with segments, in the state folder."""
    return [path for path in (m.folder / "state/conversations").rglob("*") if path.is_file()]


def wait_until_kept(m, count=1, headers=None):
    wait_until(lambda: kept(m, headers)["segments"] >= count, f"{count} segments are kept")


def unload(m, model="a", headers=None):
    assert m.delete(f"/v1/models/{model}", headers=headers).status == 200
    wait_until(lambda: m.engines(model) == [], "the engine is gone")


def start_again(m):
    wait_until(lambda: m.engines() == [], "every engine is gone")
    m.process.stdout.close()
    m.start()


def restored(answer):
    return int(answer.headers.get("x-minerva-restored", 0))


def expect_restored(m, before, headers=None):
    answer, cached = turn(m, headers=headers)
    assert restored(answer) > 100, answer.headers
    # The last token of a prompt is read in any case: its logits are needed.
    assert cached >= restored(answer) - 1, answer.json["usage"]
    assert answer.json["choices"][0]["text"] == before.json["choices"][0]["text"]


def test_an_unload_loses_nothing(serve):
    m = serve()
    first, cached = turn(m)
    assert restored(first) == 0 and cached == 0
    unload(m)
    assert kept(m)["segments"] >= 1, "before the unload, though it has not rested"
    expect_restored(m, first)
    row = kept(m)["data"][0]
    assert row["model"] == "a" and row["bytes"] > 0
    assert kept(m)["restored_tokens"] > 100
    metrics = m.get("/metrics").body.decode()
    assert "minerva_conversations_restored_total 1\n" in metrics
    assert "tokens of a conversation that was on disk" in m.log()


def test_what_rests_is_saved_by_itself_and_survives_a_kill_of_everything(serve):
    m = serve()
    first, _ = turn(m)
    wait_until_kept(m)
    m.kill()
    start_again(m)
    expect_restored(m, first)


def test_a_kill_of_the_engine_loses_nothing_that_rests(serve):
    m = serve()
    first, _ = turn(m)
    wait_until_kept(m)
    engine = m.engine("a")
    os.kill(engine, signal.SIGKILL)
    wait_until(lambda: engine not in m.engines("a"), "it is gone")
    expect_restored(m, first)


def test_an_orderly_restart_loses_nothing(serve):
    m = serve()
    first, _ = turn(m)
    m.terminate()
    assert m.wait() == 0
    start_again(m)
    expect_restored(m, first)


def test_a_parked_model_that_is_stopped_comes_back_too(serve):
    m = serve()
    first, _ = turn(m)
    assert m.load("a", verb="park").status == 200
    wait_until_kept(m)
    unload(m)
    expect_restored(m, first)


def test_files_are_private_and_have_no_prompt_in_their_names(serve):
    m = serve(config=WITH_KEYS)
    turn(m, headers=KEYS["anna"])
    unload(m, headers=KEYS["root"])
    for path in (m.folder / "state/conversations").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
        assert "anna" not in str(path) and "word" not in path.name


def test_a_key_finds_its_own_only(serve):
    m = serve(config=WITH_KEYS)
    first, _ = turn(m, headers=KEYS["anna"])
    _, cached = turn(m, headers=KEYS["ben"])
    assert cached == 0, "in the engine's slots"
    unload(m, headers=KEYS["root"])
    assert kept(m, KEYS["root"])["segments"] == kept(m, KEYS["anna"])["segments"] + kept(m, KEYS["ben"])["segments"]
    assert "budget_bytes" not in kept(m, KEYS["anna"])
    assert m.delete("/v1/conversations", headers=KEYS["ben"]).json["segments"] >= 1
    assert kept(m, KEYS["ben"])["segments"] == 0
    answer, cached = turn(m, headers=KEYS["ben"])
    assert restored(answer) == 0 and cached == 0
    expect_restored(m, first, headers=KEYS["anna"])


def test_a_client_cannot_choose_its_tenant(serve):
    m = serve(config=WITH_KEYS)
    turn(m, headers=KEYS["anna"])
    unload(m, headers=KEYS["root"])
    tenant = files(m)[0].parent.name
    answer, cached = turn(m, headers={**KEYS["ben"], "x-minerva-tenant": tenant})
    assert restored(answer) == 0 and cached == 0


def test_slots_are_for_the_administrator_where_there_are_several_keys(serve):
    m = serve(config=WITH_KEYS)
    turn(m, headers=KEYS["anna"])
    for path in ("/slots?model=a", "/upstream/a/slots"):
        assert m.get(path, headers=KEYS["anna"]).status == 403
        assert m.get(path, headers=KEYS["root"]).status == 200
    assert serve().get("/slots?model=a").status != 403


def test_a_key_that_is_no_more_has_nothing(serve):
    m = serve(config=WITH_KEYS)
    turn(m, headers=KEYS["anna"])
    turn(m, headers=KEYS["ben"])
    unload(m, headers=KEYS["root"])
    before = kept(m, KEYS["root"])["segments"]
    (m.folder / "minerva.toml").write_text('api_keys = ["anna"]\nadmin_keys = ["root"]\n')
    wait_until(lambda: kept(m, KEYS["root"])["segments"] < before, "what ben had is gone")
    assert kept(m, KEYS["root"])["segments"] == kept(m, KEYS["anna"])["segments"] > 0


def test_off_means_nothing_is_left(serve):
    m = serve(config="[conversations]\nenabled = true\n")
    turn(m)
    unload(m)
    assert files(m)
    (m.folder / "minerva.toml").write_text("[conversations]\nenabled = false\n")
    wait_until(lambda: not (m.folder / "state/conversations").exists(), "everything is gone")
    assert kept(m) == {"object": "list", "enabled": False, "bytes": 0, "segments": 0, "budget_bytes": 0,
                       "restored_tokens": 0, "saved_seconds": 0.0, "data": []}
    turn(m)
    unload(m)
    assert not [path for path in (m.folder / "state").iterdir() if "conversations" in path.name]
    answer, _ = turn(m)
    assert restored(answer) == 0


def test_a_budget_that_becomes_smaller_counts_at_once(serve):
    m = serve(config="")
    for number in range(4):
        turn(m, text=f"{number} {LONG}")
    unload(m)
    total = kept(m)["bytes"]
    assert kept(m)["segments"] >= 2
    (m.folder / "minerva.toml").write_text(f"[conversations]\ndisk = {total // 2}\n")
    wait_until(lambda: kept(m)["bytes"] <= total // 2, "it is half as much")
    wait_until(lambda: sum(path.stat().st_size for path in files(m)) == kept(m)["bytes"], "the files are gone")


def test_a_damaged_file_is_never_used(serve):
    m = serve()
    first, _ = turn(m)
    unload(m)
    for path in files(m):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    answer, _ = turn(m)
    assert restored(answer) == 0
    assert answer.json["choices"][0]["text"] == first.json["choices"][0]["text"]
    wait_until(lambda: not files(m), "they are removed")


def test_a_file_whose_beginning_is_damaged_is_removed(serve):
    """The engine sees that while it loads."""
    m = serve()
    turn(m)
    unload(m)
    for path in files(m):
        content = bytearray(path.read_bytes())
        content[60] ^= 1
        path.write_bytes(content)
    assert m.load("a").status == 200
    wait_until(lambda: kept(m)["segments"] == 0 and not files(m), "they are removed")
    assert "is removed" in m.log()


@pytest.mark.parametrize("path, body", [
    ("/v1/messages", {"max_tokens": 4}),
    ("/v1/responses", {"max_output_tokens": 4}),
    ("/v1/chat/completions", {"max_tokens": 4}),
    ("/api/chat", {"options": {"num_predict": 4}}),
    ("/api/chat", {"options": {"num_predict": 4, "cache_prompt": False}}),
    ("/api/generate", {"options": {"num_predict": 4}}),
])
def test_a_private_request_leaves_nothing(serve, path, body):
    m = serve()
    own = {"input": LONG} if path == "/v1/responses" else {"prompt": LONG} if path == "/api/generate" else {
        "messages": [{"role": "user", "content": LONG}]}
    options = body.get("options", {})
    private = {} if "cache_prompt" in options else {"cache_prompt": False}
    assert m.post(path, {"model": "a", "stream": False, **own, **body, **private}).status == 200
    unload(m)
    assert kept(m)["segments"] == 0 and files(m) == []


def test_logs_are_for_the_administrator_where_there_are_several_keys(serve):
    """They say how long everybody's prompts are, and how much of them was found."""
    m = serve(config=WITH_KEYS)
    turn(m, headers=KEYS["anna"])
    for path in ("/logs", "/logs/stream/a", "/v1/models/a/logs"):
        answer = m.get(path, headers=KEYS["ben"])
        assert answer.status == 403 and "see the logs of all" in answer.error["message"], answer
    assert "eval time" in m.get("/v1/models/a/logs", headers=KEYS["root"]).body.decode()


def test_another_model_file_under_the_name_finds_nothing(serve, models):
    m = serve()
    turn(m)
    unload(m)
    new = m.models_dir / "new"
    new.write_bytes(pathlib.Path(models["b"]).read_bytes())
    new.rename(m.models_dir / "a.gguf")
    answer, _ = turn(m)
    assert restored(answer) == 0


def test_one_keys_removal_is_no_other_keys(serve):
    m = serve(config=WITH_KEYS)
    first, _ = turn(m, headers=KEYS["anna"])
    unload(m, headers=KEYS["root"])
    assert m.delete("/v1/conversations", headers=KEYS["ben"]).json["segments"] == 0
    expect_restored(m, first, KEYS["anna"])
    assert "minerva_conversations" not in m.get("/metrics", headers=KEYS["ben"]).body.decode()
    assert "minerva_conversations_bytes" in m.get("/metrics", headers=KEYS["root"]).body.decode()


def test_one_request_that_is_not_kept_leaves_others_alone(serve):
    m = serve()
    first, _ = turn(m)
    turn(m, text="one two three", n_cache_reuse=1)
    unload(m)
    expect_restored(m, first)


def test_a_removed_models_conversations_go_with_it(serve):
    m = serve()
    turn(m)
    unload(m)
    assert kept(m)["segments"] > 0
    assert m.delete("/v1/models/a/files").status == 200
    assert kept(m)["segments"] == 0
    wait_until(lambda: files(m) == [], "the files are gone")
    assert m.delete("/v1/conversations?model=a").error["code"] == "model_not_found"


def test_cleared_by_hand(serve):
    m = serve()
    turn(m)
    turn(m, model="b")
    unload(m)
    unload(m, "b")
    assert {row["model"] for row in kept(m)["data"]} == {"a", "b"}
    assert m.delete("/v1/conversations?model=b").json["segments"] >= 1
    assert {row["model"] for row in kept(m)["data"]} == {"a"}
    assert m.post("/v1/cache/clear?conversations=true").json["message"] == "cleared: conversations"
    assert kept(m)["segments"] == 0
    wait_until(lambda: not files(m), "the files are gone")


def test_it_is_said_if_nothing_can_be_saved(serve):
    m = serve()
    stranger = m.folder / "state/conversations"
    stranger.write_text("somebody's notes")
    turn(m)
    wait_until(lambda: "failure" in kept(m), "the folder cannot be made")

    def command(*words):
        return subprocess.run([MINERVA, *words], capture_output=True, text=True, timeout=PATIENCE,
                              env={**m.env, "MINERVA_URL": m.url}).stdout

    told = command("conversations")
    assert f"nothing is saved at present: {kept(m)['failure']}" in told, told
    found = json.loads(command("doctor", "--json"))["findings"]
    assert ["note"] == [each["level"] for each in found if each["topic"] == "conversations"], found
    assert stranger.read_text() == "somebody's notes"


def test_a_second_daemon_on_the_state_folder_is_refused(serve):
    m = serve(models={})
    other = Minerva({}, "--state-dir", m.folder / "state")
    serve.started.append(other)
    with pytest.raises(AssertionError, match="another `minerva serve` uses the state folder"):
        other.start()
    assert other.wait() == 1
    m.kill()
    m.process.stdout.close()
    m.start()
