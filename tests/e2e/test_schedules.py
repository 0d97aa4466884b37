"""Models that are loaded and unloaded at set times, by a wall clock that the tests set."""
import datetime
import os
import signal
import zoneinfo

import pytest

from harness import WallClock, wait_until

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def monday(hour, minute=0, second=0):
    return datetime.datetime(2027, 3, 1, hour, minute, second, tzinfo=BERLIN)


def entry(name, keys):
    return f'[model."{name}"]\npath = "{name}.gguf"\n{keys}\n'


CONFIG = 'time_zone = "Europe/Berlin"\n'


@pytest.fixture
def clock(tmp_path):
    clock = WallClock(tmp_path)
    clock.set(monday(6))
    return clock


def come(m, clock, moment):
    """Sets the clock to a second before `moment`, and makes the daemon look at its clock, as it does each minute."""
    clock.set(moment - datetime.timedelta(seconds=1))
    os.kill(m.process.pid, signal.SIGHUP)


def says(m, words):
    wait_until(lambda: words in m.log(), f'the log says "{words}"')


def test_a_model_is_loaded_in_the_morning_and_unloaded_in_the_evening(serve, clock):
    m = serve(config=CONFIG + entry("a", 'preload = "0 8 * * mon-fri"\nunload = "30 20 * * *"'), env=clock.env)
    listed = m.get("/v1/models/a").json
    assert listed["state"] == "cold", "until then it is loaded on use only"
    assert listed["next_preload"] == "2027-03-01T08:00:00+01:00"
    assert listed["next_unload"] == "2027-03-01T20:30:00+01:00"
    assert "next_preload" not in m.get("/v1/models/b").json

    come(m, clock, monday(8))
    wait_until(lambda: m.state("a") == "hot", "a is loaded at eight")
    assert m.view("a")["preloaded"] and m.view("a")["access_count"] == 0
    assert m.cache()["preloads"] == 1
    assert m.get("/v1/models/a").json["next_preload"] == "2027-03-02T08:00:00+01:00"
    says(m, "preload of a, which its schedule has at 2027-03-01T08:00:00+01:00; the next one is at 2027-03-02T08:00")
    m.use("a")

    come(m, clock, monday(20, 30))
    wait_until(lambda: m.state("a") == "cold", "a is unloaded in the evening")
    assert m.get("/v1/models/a").json["next_unload"] == "2027-03-02T20:30:00+01:00"
    assert m.chat("a").status == 200, "and loaded again on use"


def test_an_unload_disturbs_nobody(serve, slow_model, clock):
    m = serve(models={"slow": slow_model}, config=CONFIG + entry("slow", 'unload = "0 9,10,11 * * *"'), env=clock.env)
    stream = m.chat_stream("slow", max_tokens=3000, ignore_eos=True)
    stream.token()
    engine = m.engine("slow")
    come(m, clock, monday(9))
    says(m, "slow is not unloaded: it is in use")
    stream.token()
    assert m.engine("slow") == engine
    stream.drop()
    m.settle()

    assert m.load("slow", verb="pin").status == 200
    come(m, clock, monday(10))
    says(m, "slow is not unloaded: it is pinned")
    assert m.load("slow", verb="unpin").status == 200
    come(m, clock, monday(11))
    wait_until(lambda: m.state("slow") == "cold", "then nobody uses it")


def test_a_preload_takes_no_place_that_is_in_use(serve, slow_model, models, clock):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]},
              config=CONFIG + entry("a", 'preload = "0 8,9 * * *"'), env=clock.env)
    stream = m.chat_stream("slow", max_tokens=3000, ignore_eos=True)
    stream.token()
    come(m, clock, monday(8))
    says(m, "a was not preloaded as its schedule has it: ")
    assert m.loaded() == ["slow"]
    stream.token()
    stream.drop()
    m.settle()
    come(m, clock, monday(9))
    wait_until(lambda: m.state("a") == "hot", "it takes the place of a model that is idle")


def test_what_was_slept_through_for_long_is_skipped(serve, clock):
    m = serve(config=CONFIG + entry("a", 'preload = "0 8 * * *"'), env=clock.env)
    clock.set(monday(8, 30))
    os.kill(m.process.pid, signal.SIGHUP)
    says(m, "the preload of a at 2027-03-01T08:00:00+01:00 was slept through: it is skipped")
    assert m.state("a") == "cold"
    assert m.get("/v1/models/a").json["next_preload"] == "2027-03-02T08:00:00+01:00"


def test_a_reload_replaces_schedules(serve, clock):
    m = serve(config=CONFIG + entry("a", 'preload = "0 8 * * *"'), env=clock.env)
    come(m, clock, monday(8))
    wait_until(lambda: m.state("a") == "hot", "a is loaded")
    assert m.delete("/v1/models/a").status == 200

    file = m.folder / "minerva.toml"

    def write(text):
        aside = m.folder / "minerva.toml.new"
        aside.write_text(text)
        aside.rename(file)

    def next_preload():
        return m.get("/v1/models/a").json.get("next_preload")

    write(CONFIG + entry("a", 'preload = "0 8,10 * * *"'))
    wait_until(lambda: next_preload() == "2027-03-01T10:00:00+01:00", "the new schedule counts")
    assert m.state("a") == "cold", "eight o'clock does not come twice"
    write('time_zone = "America/New_York"\n' + entry("a", 'preload = "0 8,10 * * *"'))
    wait_until(lambda: next_preload() == "2027-03-01T08:00:00-05:00", "the new time zone counts")
    write(entry("a", 'preload = "0 25 * * *"'))
    says(m, f"what runs stays as it is: {file}:3:11: preload: hour: \"25\" is none; 0 to 23 is allowed")
    assert next_preload() == "2027-03-01T08:00:00-05:00"
    write(entry("a", 'preload = "lazy"'))
    wait_until(lambda: next_preload() is None, "there is no schedule any more")
