"""A changed config and changed models folders are taken in while the server runs."""
import os
import signal

from harness import in_background, wait_until


def write(m, text):
    """Puts another file in the place of the config, as editors do."""
    aside = m.folder / "minerva.toml.new"
    aside.write_text(text)
    aside.rename(m.folder / "minerva.toml")


def said(m, words):
    return words in m.log()


def reload(m, text, expect):
    """Changes the config and waits until the log says `expect` once more."""
    before = m.log().count(expect)
    write(m, text)
    wait_until(lambda: m.log().count(expect) > before, f'the log says "{expect}"')


def argv(pid, flag):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().decode().split("\0")
    return words[words.index(flag) + 1]


def replaced(m, model, old):
    """Waits until a new engine serves the model."""
    wait_until(lambda: m.engines(model) not in ([], [old]) and m.state(model) == "hot", f"{model} has a new engine")
    assert m.engine(model) != old


def entry(name, context, extra=""):
    return f'[model."{name}"]\npath = "{name}.gguf"\ncontext = {context}\n{extra}\n'


def test_only_the_model_whose_entry_changed_gets_a_new_engine(serve):
    m = serve(config=entry("a", 512) + entry("b", 512))
    m.load("a")
    m.load("b")
    a, b = m.engine("a"), m.engine("b")
    reload(m, entry("a", 1024) + entry("b", 512), 'config reloaded: changed model."a"')
    # The model was in memory, so it comes back by itself.
    replaced(m, "a", a)
    assert argv(m.engine("a"), "-c") == str(1024 * 2)
    assert m.engine("b") == b and m.state("b") == "hot"
    assert m.get("/v1/models/a").json["context_length"] == 1024
    assert m.chat("a").status == 200


def test_new_settings_of_a_busy_model_wait_for_its_leases(serve, slow_model):
    m = serve(models={"slow": slow_model}, config=entry("slow", 2048))
    stream = m.chat_stream("slow", max_tokens=300, ignore_eos=True)
    stream.token()
    old = m.engine("slow")
    reload(m, entry("slow", 1024), 'changed model."slow"')
    assert m.engine("slow") == old
    # New requests get the new engine; the running one is answered to its end.
    later = in_background(m.chat, "slow")
    wait_until(lambda: m.view("slow")["waiting"] == 1, "the later request waits")
    assert stream.rest()[-1] == "[DONE]"
    assert later.result().status == 200
    assert m.engine("slow") != old
    assert argv(m.engine("slow"), "-c") == str(1024 * 2)


def test_limits_apply_at_once_and_restarts_are_named(serve):
    m = serve(config="max_models = 2\n")
    m.load("a")
    m.load("b")
    # A max_models of 1: one model has to leave. The policy takes effect at the next start.
    reload(m, 'max_models = 1\npolicy = "fifo"\n[limits]\nmax_body = "2KiB"\n',
           "config reloaded: changed max_models, limits.max_body")
    assert said(m, "policy has changed: that needs a restart")
    wait_until(lambda: m.loaded() == ["b"], "the less recently used one left")
    assert m.stats()["cache"]["policy"] == "hazard"
    assert m.chat("b", "long " * 1000).status == 413
    # Less memory than the one model needs: the model leaves, and a request gets the numbers.
    reload(m, 'memory_budget = "1MiB"\n', "config reloaded: changed memory_budget, max_models, limits.max_body")
    wait_until(lambda: m.loaded() == [], "nothing fits any more")
    assert m.chat("a").status == 422
    # Flags take precedence over the file: a flag has set the log's level.
    reload(m, 'log_level = "error"\n', "config reloaded: changed memory_budget\n")
    assert m.chat("a").status == 200


def test_a_device_is_a_pool_that_is_shown_by_its_name(serve):
    m = serve(config='[device.gpu0]\nmemory_budget = "6GiB"\n')
    m.load("a")
    pools = m.stats()["pools"]
    assert [(pool["id"], pool["memory_mb"] > 0) for pool in pools] == [("host", True), ("gpu0", False)]
    assert pools[1]["memory_budget_mb"] == 6144
    row = m.view("a")  # once, since the engine is measured meanwhile
    assert row["pools_mb"] == {"host": row["memory_mb"], "gpu0": 0}
    reload(m, '[device.gpu0]\nmemory_budget = "7GiB"\n[device.gpu1]\nmemory_budget = "1GiB"\n',
           'config reloaded: changed device."gpu0", device."gpu1"')
    assert [pool["memory_budget_mb"] for pool in m.stats()["pools"][1:]] == [7168, 1024]
    text = m.get("/metrics").body.decode()
    assert 'minerva_pool_budget_bytes{pool="gpu1"} 1073741824' in text
    # A device that is gone stays a pool until the next start.
    reload(m, "max_models = 2\n", 'device."gpu0" has changed: that needs a restart')
    assert [pool["id"] for pool in m.stats()["pools"]] == ["host", "gpu0", "gpu1"]


def test_a_broken_file_changes_nothing_and_says_where_it_is_broken(serve):
    m = serve(config=entry("a", 512))
    m.load("a")
    engine = m.engine("a")
    reload(m, entry("a", 512) + "max_modles = 1\n",
           "the config was not reloaded, what runs stays as it is: " + str(m.folder / "minerva.toml") + ":5:1")
    assert m.engine("a") == engine and m.chat("a").status == 200
    reload(m, entry("a", 512) + "= nonsense\n", "minerva.toml:5:1: Error")
    # The file is gone for a while: nothing happens until there is one again.
    (m.folder / "minerva.toml").unlink()
    os.kill(m.process.pid, signal.SIGHUP)
    wait_until(lambda: said(m, "minerva.toml: cannot be read"), "SIGHUP finds no file")
    reload(m, entry("a", 1024), 'changed model."a"')
    replaced(m, "a", engine)


def test_sighup_reloads_and_keeps_what_is_in_memory(serve):
    m = serve(config=entry("a", 512))
    m.load("a")
    engine = m.engine("a")
    os.kill(m.process.pid, signal.SIGHUP)
    wait_until(lambda: said(m, "config reloaded: nothing to change"), "SIGHUP reloads")
    assert m.engine("a") == engine


def test_entries_come_and_go(serve):
    m = serve(config="max_models = 0\n")
    reload(m, entry("a", 512, 'aliases = ["gpt"]\npreload = "eager"\npin = true'), 'changed model."a"')
    wait_until(lambda: m.state("a") == "hot", "an eager model is loaded by the reload")
    engine = m.engine("a")
    assert m.view("a")["pinned"]
    assert m.chat("gpt").status == 200
    # Another alias, and no pin: the engine is not concerned.
    reload(m, entry("a", 512, 'aliases = ["gpt-4"]'), 'config reloaded: changed model."a"\n')
    wait_until(lambda: m.get("/v1/models/a").json["aliases"] == ["gpt-4"], "the alias is another one")
    assert m.chat("gpt-4").status == 200 and m.chat("gpt").status == 404
    assert m.engine("a") == engine and not m.view("a")["pinned"]


def test_a_file_just_put_there_is_never_unknown(serve, models):
    m = serve()
    for i in range(20):
        assert m.get(f"/v1/models/new{i}").status == 404  # an unknown name is refused without a look at the folders
        m.add_model(f"new{i}", models["a"])
        assert m.get(f"/v1/models/new{i}").status == 200
    folder = m.models_dir / "publisher" / "deep"
    folder.mkdir(parents=True)
    os.link(models["b"], folder / "below.gguf")
    assert m.get("/v1/models/below").status == 200
    # In a folder that is watched by now, and without a request.
    os.link(models["b"], folder / "beside.gguf")
    wait_until(lambda: "beside" in [d["id"] for d in m.get("/v1/models").json["data"]], "the list has it")
    (folder / "beside.gguf").unlink()
    assert m.get("/v1/models/below").status == 200
    wait_until(lambda: m.get("/v1/models/beside").status == 404, "a removed file is gone from the list")


def test_what_is_to_stay_free_counts_from_a_reload_on(serve):
    m = serve(config="[limits]\nmin_free_memory = 0\n")
    m.use("a")
    assert m.metric("minerva_memory_shortages_total") == 0
    write(m, '[limits]\nmin_free_memory = "1000GiB"\n')
    wait_until(lambda: m.state("a") == "cold", "a, which is idle, is parked, and stopped in the end")
    assert m.engines("a") == []
    assert m.metric("minerva_memory_shortages_total") == 1 and m.metric("minerva_memory_short_bytes") > 0
    assert "memory is short" in m.log() and "end other programs" in m.log()
    answer = m.chat("b")
    assert answer.status == 503 and "memory is short" in answer.error["message"], answer

    write(m, "[limits]\nmin_free_memory = 0\n")
    wait_until(lambda: m.metric("minerva_memory_short_bytes") == 0, "nothing is to stay free any more")
    assert m.chat("b").status == 200
    assert m.metric("minerva_memory_shortages_total") == 1
