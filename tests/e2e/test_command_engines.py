"""Models that another program serves: a small program of the tests, and llama.cpp's own server."""
import json
import pathlib
import signal
import sys

import pytest

from harness import BIN_DIR, in_background, wait_until

PROGRAM = pathlib.Path(__file__).parent / "openai_like.py"


def entry(name, *args, listen="--port ${PORT}", memory="64MiB", program=(sys.executable, str(PROGRAM)), more=""):
    command = json.dumps([*program, *listen.split(), *map(str, args)])
    return f'[model."{name}"]\ncommand = {command}\nmemory = "{memory}"\n{more}\n'


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def launchers():
    """The processes of this test's launchers, and of their programs."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and str(PROGRAM) in (folder / "cmdline").read_bytes().decode().split("\0"):
                found.append(int(folder.name))
        except OSError:
            pass
    return found


@pytest.fixture
def begin(serve):
    """begin(*the program's arguments, ...) starts a Minerva that knows one model "m", which is a command."""
    return lambda *args, **kwargs: serve(config=entry("m", *args, **kwargs), models={})


def test_it_is_listed_loaded_asked_and_unloaded(begin):
    m = begin(more='aliases = ["gpt-4o-mini"]\nenv = ["GREETING=hello"]')
    listed = m.get("/v1/models/m").json
    assert listed["state"] == "cold" and listed["size_bytes"] == 0
    assert listed["parameters"] is None and listed["context_length"] is None
    loaded = m.load("m").json
    assert loaded["state"] == "hot" and loaded["estimated_memory_mb"] == 64, loaded
    answer = m.chat("m", "one two")
    assert answer.status == 200 and answer.headers["x-minerva-cache"] == "hit", answer
    assert answer.json["choices"][0]["message"]["content"] == "one two"
    assert answer.json["model"] == "m"
    assert m.chat("gpt-4o-mini").json["model"] == "gpt-4o-mini", "the name goes on as the client wrote it"
    assert m.stats()["estimated_memory_mb"] == 64
    assert "serving hello" in m.get("/v1/models/m/logs").body.decode()
    assert m.delete("/v1/models/m").json["message"] == "unloaded"
    assert not launchers()
    assert m.chat("m", "again").headers["x-minerva-cache"] == "miss"


def test_over_a_unix_socket(begin):
    m = begin(listen="--socket ${SOCKET}")
    assert m.chat("m", "hello there").json["choices"][0]["message"]["content"] == "hello there"


def test_streams(begin):
    m = begin()
    stream = m.chat_stream("m", "one two three")
    assert stream.status == 200
    words = [json.loads(e)["choices"][0]["delta"]["content"] for e in stream.rest() if e.startswith("{")]
    assert words == ["one", "two", "three"]


def test_errors_get_the_usual_shape(begin):
    answer = begin().chat("m", "error")
    assert answer.status == 418
    assert "teapot" in answer.error["message"]


def test_requests_wait_until_its_health_is_good(begin, tmp_path):
    go = tmp_path / "go"
    m = begin("--wait-for", go)
    call = in_background(m.chat, "m", "hi")
    wait_until(lambda: "answered with 503" in m.get("/v1/models/m/logs").body.decode(), "the log says what it waits for")
    assert m.state("m") == "loading" and not call.done
    go.touch()
    assert call.result().status == 200


def test_a_load_takes_no_longer_than_it_may(serve, tmp_path):
    config = '[queue]\nload_timeout = "1s"\n' + entry("m", "--wait-for", tmp_path / "never")
    m = serve(config=config, models={})
    answer = m.chat("m")
    assert answer.status in (503, 504), answer
    wait_until(lambda: not launchers(), "it was ended")


def test_its_death_is_told_and_the_next_request_has_another_one(begin):
    m = begin()
    m.use("m")
    answer = m.chat("m", "die")  # tried again on a fresh engine, which dies too
    assert answer.status == 502, answer
    assert "told to die" in answer.error["message"] and "exit code 3" in answer.error["message"], answer.error
    wait_until(lambda: m.chat("m").status == 200, "it is let in again")


def test_a_program_that_is_not_there(serve):
    m = serve(config=entry("m", program=["no-such-program"]), models={})
    answer = m.chat("m")
    assert answer.status == 502, answer
    assert "cannot start no-such-program" in answer.error["message"], answer.error


def test_it_ends_in_order_after_its_streams(begin, tmp_path):
    m = begin()
    stream = m.chat_stream("m", f"hold {tmp_path / 'go'} end")
    assert stream.token() == "hold"
    m.terminate()
    (tmp_path / "go").touch()
    assert stream.rest()[-1] == "[DONE]"
    assert m.wait() == 0
    assert not launchers()


def test_what_does_not_end_is_killed_with_its_children(serve, tmp_path):
    m = serve(config='[limits]\nstop_grace = "100ms"\n' + entry("m", "--ignore-term", "--child", tmp_path / "child"),
              models={})
    m.use("m")
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    assert m.delete("/v1/models/m").status == 200
    assert not alive(child) and not launchers()


def test_nothing_outlives_a_daemon_that_is_killed(begin, tmp_path):
    m = begin("--ignore-term", "--child", tmp_path / "child")
    m.use("m")
    child = int((tmp_path / "child").read_text())
    assert len(launchers()) == 2 and alive(child)
    m.kill()
    wait_until(lambda: not alive(child) and not launchers(), "all of them are gone")


def test_it_is_a_victim_as_any_other(serve, models):
    """A command engine is stopped for another model, and another model for it."""
    m = serve("--max-models", "1", config=entry("m"), models={"a": models["a"]})
    m.use("a", "m")
    assert m.loaded() == ["m"]
    assert m.load("a").json["evicted"] == ["m"]
    assert not launchers()


def test_what_it_says_it_needs_is_held_against_the_budget(serve):
    m = serve("--memory-budget", "1GiB", config=entry("m", memory="2GiB"), models={})
    answer = m.load("m")
    assert answer.status == 422
    assert "2048 MiB" in answer.error["message"] and "1024 MiB" in answer.error["message"], answer.error


def test_a_changed_command_counts_from_the_next_load_on(begin):
    m = begin()
    m.use("m")
    (m.folder / "minerva.toml").write_text(entry("m", more='env = ["GREETING=changed"]'))
    m.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "config reloaded" in m.log(), "it has read it")
    wait_until(lambda: m.chat("m").status == 200
               and "serving changed" in m.get("/v1/models/m/logs").body.decode(), "the new command runs")


def test_a_name_that_is_a_file_too(serve, models):
    """The config's name wins; the file's other name includes its folder (docs/adr/0019-names.md)."""
    m = serve(config=entry("a"), models={"a": models["a"]})
    assert m.get("/v1/models/a").json["size_bytes"] == 0
    (other,) = [model["id"] for model in m.get("/v1/models").json["data"] if model["id"] != "a"]
    assert other.endswith("-a") and m.get(f"/v1/models/{other}").json["size_bytes"] > 0
    m.use("a")
    assert m.loaded() == ["a"]


def test_llama_cpps_own_server(serve, models):
    file = models["a"]
    config = entry("stock", "-m", file, "-c", "512", "--no-warmup", program=[str(BIN_DIR / "llama-server")],
                   listen="--host 127.0.0.1 --port ${PORT}", memory="512MiB")
    m = serve(config=config, models={"a": file})
    stock = m.chat("stock", max_tokens=8)
    assert stock.status == 200, stock
    own = m.chat("a", max_tokens=8)
    assert stock.json["choices"][0]["message"] == own.json["choices"][0]["message"]
    assert m.chat_stream("stock").rest()[-1] == "[DONE]"
    assert m.delete("/v1/models/stock").status == 200
