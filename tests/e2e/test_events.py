"""GET /v1/events, with a client that works like a browser's EventSource: it keeps the last id, and reconnects with
it."""
import json
import os
import shutil
import signal

from harness import PATIENCE, wait_until


class Events:
    """A connection to the stream. Reads fields by the standard: an id alone moves last_id and is no event."""

    def __init__(self, m, last_id=None, query=""):
        self.connection = m.connect(PATIENCE)
        headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
        self.connection.request("GET", "/v1/events" + query, headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.getheader("content-type") == "text/event-stream"
        self.last_id = None
        while self.last_id is None:
            assert self.next_block() is None, "an id comes first"

    def next_block(self):
        """The next (name, data). Skips comments, and fields without data. Raises EOFError at the proper end."""
        name, data, read = None, None, False
        while line := self.response.readline().decode().rstrip("\n"):
            read = True
            if line.startswith("id: "):
                self.last_id = int(line[4:])
            elif line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
            else:
                assert line.startswith(":"), line
        if not read and self.response.isclosed():
            raise EOFError
        return None if data is None else (name, data)

    def next(self):
        while (block := self.next_block()) is None:
            pass
        return block

    def until(self, wanted, **fields):
        """All events up to the first one with that name and these fields."""
        events = []
        while not events or events[-1][0] != wanted or not fields.items() <= events[-1][1].items():
            events.append(self.next())
        return events

    def close(self):
        self.response.close()
        self.connection.close()


def states(events, model):
    return [data["state"] for name, data in events if name == "state" and data["model"] == model]


def test_a_client_that_comes_back_misses_nothing(serve):
    m = serve("--max-models", 1, "--no-park")
    watcher = Events(m)
    m.use("a")
    first = watcher.until("state", model="a", state="hot")
    assert states(first, "a") == ["preparing", "loading", "hot"], first
    assert any(name == "decision" and data["kind"] == "load" for name, data in first)
    seen = watcher.last_id
    watcher.close()

    # While nobody watches, b takes the place of a.
    m.use("b")
    again = Events(m, last_id=seen)
    missed = again.until("state", model="b", state="hot")
    eviction = next(data for name, data in missed if name == "eviction")
    assert eviction["model"] == "a" and eviction["for"] == "b" and eviction["leaves_by"] == "stop", eviction
    assert states(missed, "a") == ["stopping", "cold"] and states(missed, "b") == ["preparing", "loading", "hot"]
    assert not any(name == "gap" for name, _ in missed)
    # The query works too, for clients that cannot set headers: they see the same events.
    other = Events(m, query=f"?last_event_id={seen}")
    assert other.until("state", model="b", state="hot") == missed
    assert other.last_id == again.last_id == seen + len(missed), "there are no holes"

    # Without an id the stream begins with what happens now.
    fresh = Events(m)
    assert fresh.last_id == again.last_id
    m.delete("/v1/models/b")
    assert states(fresh.until("state", model="b", state="cold"), "b") == ["stopping", "cold"]
    for stream in (again, other, fresh):
        stream.close()


def test_what_is_lost_is_said(serve, models):
    m = serve(models={"a": models["a"]})
    watcher = Events(m)
    m.add_model("b", models["b"])
    watcher.until("catalog", model="b", change="added")
    seen = watcher.last_id
    watcher.close()
    for i in range(1100):
        os.link(models["a"], m.models_dir / f"new{i}.gguf")
    wait_until(lambda: len(m.get("/v1/models").json["data"]) == 1102, "all are listed")
    # The client came back too late.
    again = Events(m, last_id=seen)
    name, gap = again.next()
    assert name == "gap" and gap["last_event_id"] == seen and gap["resumes_at"] > seen + 1, gap
    assert again.last_id == gap["resumes_at"] - 1, "with which it comes back to the first that is left"
    again.next()
    assert again.last_id == gap["resumes_at"]
    again.close()

    # After a restart the old ids are unknown; the new ones are beyond them.
    last = Events(m).last_id
    m.stop()
    m.start()
    reborn = Events(m, last_id=last)
    name, gap = reborn.next()
    assert name == "gap" and gap["last_event_id"] == last < gap["resumes_at"], gap
    reborn.close()

    answer = m.get("/v1/events", headers={"Last-Event-ID": "yesterday"})
    assert answer.status == 400 and answer.error["param"] == "last_event_id", answer
    assert m.request("HEAD", "/v1/events").status == 200


def test_catalog_config_pressure_and_the_end(serve, models):
    m = serve(models={"a": models["a"]}, config="max_models = 3\n")
    watcher = Events(m)
    shutil.copyfile(models["b"], m.folder / "aside")
    (m.folder / "aside").rename(m.models_dir / "a.gguf")
    (m.models_dir / "b.gguf").symlink_to(models["b"])
    watcher.until("catalog", model="a", change="changed")
    m.use("b")
    (m.models_dir / "b.gguf").unlink()
    watcher.until("catalog", model="b", change="removed")
    (m.folder / "minerva.toml").write_text('max_models = 2\npolicy = "fifo"\n[limits]\nmin_free_memory = "1000GiB"\n')
    _, config = watcher.until("config")[-1]
    assert config["changed"] == ["max_models", "limits.min_free_memory"] and config["at_restart"] == ["policy"], config
    _, pressure = watcher.until("pressure", memory_pressure=True)[-1]
    assert pressure["machine_short_mb"] > 0, pressure
    # A client that watches does not delay the end.
    m.process.send_signal(signal.SIGTERM)
    watcher.until("draining")
    try:
        while True:
            watcher.next()
    except EOFError:
        pass
    watcher.close()
    assert m.wait() == 0
