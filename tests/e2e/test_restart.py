"""What a daemon leaves to the next one, however it ended; and `minerva cache clear`."""
import datetime
import json
import os
import re
import signal
import subprocess

import harness
from harness import WallClock, in_background, wait_until

UTC = datetime.timezone.utc


def kept(m):
    """The history file in the state folder; None before there is one."""
    file = m.folder / "state/history.json"
    return json.loads(file.read_text().splitlines()[1]) if file.exists() else None


def kept_models(m):
    """The models that are to come back, in that order."""
    return [model["id"] for model in kept(m)["models"] if "resident" in model]


def wait_until_kept(m):
    """Waits until a kill would lose nothing."""
    def same():
        document = kept(m)
        stats = m.stats()
        resident = {model["id"]: model["access_count"] for model in stats["models"] if model["state"] in ("hot", "parked")}
        counters = {name: stats["cache"][name] for name in ("hits", "misses", "evictions", "preloads")}
        return document and document["cache"] == counters and resident == {
            model["id"]: model["resident"]["access_count"] for model in document["models"] if "resident" in model}

    wait_until(same, "everything is kept")


def start_again(m, kill=True):
    if kill:
        m.kill()
    else:
        m.terminate()
        assert m.wait() == 0
    wait_until(lambda: m.engines() == [], "every engine is gone")
    m.process.stdout.close()
    m.start()


def loads(m):
    """The models that the core decided to load, in that order."""
    decisions = reversed(m.get("/v1/decisions").json["data"])
    return [decision["model"] for decision in decisions if decision["kind"] == "load"]


def cli(m, *args):
    return subprocess.run([harness.MINERVA, *args, "--url", m.url], capture_output=True, text=True,
                          timeout=harness.PATIENCE, env=m.env)


def test_the_state_folder_is_private_and_one_that_is_there_stays_as_it_is(serve):
    assert (serve(models={}).folder / "state").stat().st_mode & 0o777 == 0o700

    def make_it():
        os.mkdir("state")
        os.chmod("state", 0o755)

    assert (serve(models={}, before_exec=make_it).folder / "state").stat().st_mode & 0o777 == 0o755


def test_a_killed_daemon_is_followed_by_one_that_goes_on(serve, tmp_path):
    clock = WallClock(tmp_path)
    clock.set(datetime.datetime(2027, 3, 1, 7, 59, tzinfo=UTC))
    m = serve(config='time_zone = "UTC"\n[model."d"]\npath = "d.gguf"\npreload = "0 8 * * *"\n',
              env=clock.env)
    m.use("b", "a", "a")
    assert m.load("c", verb="pin").status == 200
    clock.set(datetime.datetime(2027, 3, 1, 7, 59, 59, tzinfo=UTC))
    os.kill(m.process.pid, signal.SIGHUP)
    wait_until(lambda: m.state("d") == "hot", "d is loaded by its schedule")
    wait_until_kept(m)
    before = m.cache()
    assert (before["hits"], before["misses"], before["preloads"]) == (1, 2, 1)
    assert os.stat(m.folder / "state/history.json").st_mode & 0o777 == 0o600

    start_again(m)
    wait_until(lambda: m.loaded() == ["a", "b", "d"], "those that were in memory are back")
    assert loads(m) == ["a", "b", "d"], "the most wanted first"
    for model, uses in {"a": 2, "b": 1, "d": 0}.items():
        view = m.view(model)
        assert view["preloaded"] and view["access_count"] == uses, view
    assert m.state("c") == "cold"
    assert m.load("c", verb="pin").json["message"] == "already pinned"
    after = m.cache()
    assert after == {**before, "preloads": 4}

    answer = m.chat("a")
    assert answer.status == 200 and answer.headers["x-minerva-cache"] == "hit"
    m.settle()
    assert not m.view("a")["preloaded"] and m.view("a")["access_count"] == 3
    assert m.cache()["hits"] == before["hits"] + 1


def test_a_request_before_it_is_back_joins_its_load(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    wait_until_kept(m)
    start_again(m)
    answer = m.chat("slow")
    assert answer.status == 200, answer
    assert loads(m) == ["slow"], "it is loaded once"
    counted = m.cache()
    assert answer.headers["x-minerva-cache"] == ("hit" if counted["hits"] == 1 else "miss")
    assert counted["hits"] + counted["misses"] == 2


def test_a_request_goes_first(serve, models, slow_model):
    m = serve("--max-models", 1, "--no-park", models={"slow": slow_model, "a": models["a"]})
    m.use("slow")
    wait_until_kept(m)
    m.kill()
    m.process.stdout.close()
    wait_until(lambda: m.engines() == [], "every engine is gone")
    m.start()
    # Stopped on its way back: the engine cannot become ready.
    pid = wait_until(lambda: m.engines("slow"), "it is on its way back")[0]
    os.kill(pid, signal.SIGSTOP)
    caught = m.state("slow") == "loading"
    asked = in_background(m.chat, "a")
    if caught:
        wait_until(lambda: m.state("slow") == "stopping" or not m.engines("slow"), "it makes room")
    else:
        os.kill(pid, signal.SIGCONT)
    assert asked.result().status == 200
    m.settle()
    assert m.loaded() == ["a"]
    if caught:
        assert m.cache()["evictions"] == 0, "who was not there yet is not evicted"


def test_who_failed_left_or_vanished_does_not_come_back(serve):
    m = serve()
    m.use("d", "a", "b", "c")
    assert m.delete("/v1/models/a").status == 200
    os.kill(m.engine("b"), signal.SIGKILL)
    wait_until(lambda: m.state("b") == "cold", "its death is known")
    wait_until_kept(m)
    assert kept_models(m) == ["c", "d"]
    m.kill()
    m.process.stdout.close()
    (m.models_dir / "c.gguf").unlink()
    m.start()
    # The least wanted model comes back last.
    wait_until(lambda: m.state("d") == "hot", "d is back")
    assert m.loaded() == ["d"] and loads(m) == ["d"]


def test_an_orderly_end_keeps_all_of_it(serve):
    m = serve("--max-models", 1)
    m.use("a", "b")
    assert m.state("a") == "parked"
    start_again(m, kill=False)
    assert kept_models(m) == ["b", "a"]
    wait_until(lambda: m.state("b") == "hot", "b is back")
    assert m.cache()["evictions"] == 1 and m.state("a") == "cold", "there is no room for a, and nobody goes for it"
    assert m.chat("b").headers["x-minerva-cache"] == "hit"


def test_it_can_be_switched_off(serve):
    m = serve(config="[restart]\nrestore = false\n")
    m.use("a")
    start_again(m, kill=False)
    assert "they do not come back, as restart.restore is false" in m.log()
    assert m.cache()["misses"] == 1 and m.state("a") == "cold"
    m.use("b")
    assert loads(m) == ["b"]


def test_what_cannot_be_read_is_set_aside(serve):
    m = serve()
    m.use("a")
    m.terminate()
    assert m.wait() == 0
    m.process.stdout.close()
    for name, damage in {"history.json": lambda text: text[:-3],
                         "metadata.json": lambda text: re.sub('"version":[0-9]+', '"version":2', text, count=1)}.items():
        file = m.folder / "state" / name
        assert damage(file.read_text()) != file.read_text()
        file.write_text(damage(file.read_text()))
    m.start()
    log = m.log()
    assert "history.json cannot be used: it is damaged. It is kept as " in log
    assert "metadata.json cannot be used: it is of another version of Minerva. It is kept as " in log
    for name in ("history.json.damaged", "metadata.json.damaged"):
        assert (m.folder / "state" / name).exists()
    assert m.cache()["misses"] == 0
    m.use("a")


def test_clearing(serve):
    m = serve("--max-models", 1)
    m.use("a", "b", "b")
    nothing = cli(m, "cache", "clear")
    assert nothing.returncode == 2 and nothing.stdout == "" and "--history" in nothing.stderr, nothing
    assert cli(m, "cache", "empty", "--all").returncode == 2
    assert m.post("/v1/cache/clear").status == 400
    assert m.post("/v1/cache/clear?stats=perhaps").status == 400
    assert (m.cache()["hits"], m.view("b")["access_count"], m.state("a")) == (1, 2, "parked"), "nothing was cleared"

    assert cli(m, "cache", "clear", "--stats").stdout == "cleared: statistics\n"
    assert {**m.cache(), "policy": ""} == {"policy": "", "hits": 0, "misses": 0, "hit_rate": 0, "evictions": 0,
                                           "preloads": 0}
    assert m.view("b")["access_count"] == 2
    assert cli(m, "cache", "clear", "--history").stdout == "cleared: history\n"
    assert m.view("b")["access_count"] == 0 and m.view("b")["last_used_s"] is None
    assert cli(m, "cache", "clear", "--images").stdout == "cleared: images; stopped a\n"
    wait_until(lambda: m.state("a") == "cold", "a is gone with its image")
    assert m.state("b") == "hot"

    cleared = json.loads(cli(m, "cache", "clear", "--all", "--json").stdout)
    assert cleared == {"success": True, "message": "cleared: statistics, history, images, conversations, metadata", "stopped": []}
    wait_until(lambda: m.get("/v1/models/b").json["parameters"], "it was looked into again")
    m.use("b", "a", "b")
    assert m.get("/v1/models/a").json["parameters"], "it was inspected again"


def test_nobody_who_waits_notices_a_clearing(serve, slow_model):
    m = serve("--max-models", 1, models={"slow": slow_model, "other": slow_model})
    stream = m.chat_stream("slow", max_tokens=3000, ignore_eos=True)
    stream.token()
    waiting = in_background(m.chat, "other")
    wait_until(lambda: m.state("other") == "preparing", "it waits for room")
    assert m.post("/v1/cache/clear?all=true").status == 200
    stream.token()
    stream.drop()
    assert waiting.result().status == 200
