"""Kills at random moments: of engines below a daemon that goes on, and of daemons with all their engines.

Engines: a model is made to load, read a prompt, stream, be idle, park, wake or be unloaded, and its engine gets SIGKILL at
a random moment of that. The request under way ends with a right answer or an honest error, and the model serves again.
Daemons: a daemon is killed at a random moment of its life. No engine and no image outlives it. The next daemon starts on the
same socket, can use the state folder, serves, and leaves nothing behind.

Environment: ENGINE_KILLS (1000), DAEMON_KILLS (100), CAMPAIGN_SEED.
"""
import http.client
import json
import os
import pathlib
import random
import signal
import time
from collections import Counter

import common
from common import CHAT_MODELS, expect, figure
from harness import Minerva, chat_body, in_background, wait_until

ENGINE_KILLS = common.number_from_environment("ENGINE_KILLS", 1000)
DAEMON_KILLS = common.number_from_environment("DAEMON_KILLS", 100)
PROMPT = "the cat sat on the mat " * 4
MAX_TOKENS = 12
CONFIG = "".join(f'[model."{name}"]\npath = "{name}.gguf"\nparallel = 1\ncontext = 1024\nargs = ["--cache-ram", "0"]\n'
                 for name in CHAT_MODELS)
HONEST = {(502, "engine_crashed"), (503, "model_quarantined")}
HONEST_OF_A_PARK = {(409, "conflict")}  # there is nothing to park any more
LONGEST_MOMENT_S, LONGEST_MOMENT_OF_A_MOVE_S = 0.25, 0.05


def random_moment(source, longest):
    """Lets a random time pass: this is the moment of the kill, and no wait for anything."""
    time.sleep(source.uniform(0, longest))


def ask(minerva, model, streamed):
    """The end of a request: its text, or the name of an honest error."""
    connection = minerva.connect()
    try:
        body = chat_body(model, PROMPT, max_tokens=MAX_TOKENS, cache_prompt=False, stream=streamed)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read().decode()
    except (http.client.HTTPException, ConnectionError):
        return "error: cut off"
    finally:
        connection.close()
    if response.status != 200:
        error = json.loads(body)["error"]
        expect((response.status, error["code"]) in HONEST, f"an unexpected answer: {response.status} {body}")
        return f"error: {error['code']}"
    if not streamed:
        return json.loads(body)["choices"][0]["message"]["content"]
    events = [line[len("data: "):] for line in body.splitlines() if line.startswith("data: ")]
    if '"error"' in events[-1]:
        return f"error: {json.loads(events[-1])['error']['code']} in the stream"
    expect(events[-1] == "[DONE]", f"a stream ended as if complete: {events[-1]}")
    chunks = [json.loads(event)["choices"] for event in events[:-1]]
    return "".join(choice[0]["delta"].get("content") or "" for choice in chunks if choice)


def kill_some_engine(minerva, model):
    """Returns whether there was an engine to kill."""
    found = minerva.engines(model)
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(found)


def serves_again(minerva, model, reference):
    """Whatever happened before: a load lifts a quarantine, and then the answer is right."""
    for _ in range(3):
        load = minerva.load(model)
        expect(load.status == 200 or (load.status, load.error["code"]) in HONEST, f"it cannot be loaded again: {load}")
        text = ask(minerva, model, streamed=False)
        if text == reference[model]:
            return
        # The load may have found the model loaded, if the death was not known yet.
        expect(text.startswith("error"), f"a wrong answer after a kill: {text!r}, not {reference[model]!r}")
    raise common.Broken(f"{model} does not serve after a kill: {text}")


def one_engine_kill(minerva, source, reference):
    model = source.choice(CHAT_MODELS)
    what = source.choice(["load", "request", "stream", "idle", "unload", "load call", "park call", "wake"])
    if what == "load":  # a request that finds it cold
        minerva.delete(f"/v1/models/{model}?force=true")
    elif what == "wake":  # a request that finds it parked
        parked = minerva.load(model, verb="park")
        expect(parked.status == 200, f"it cannot be parked: {parked}")
    elif what == "park call":
        minerva.load(model)
    if what == "load call":
        minerva.delete(f"/v1/models/{model}?force=true")
        call = in_background(minerva.load, model)
    elif what == "park call":
        call = in_background(minerva.load, model, verb="park")
    elif what == "unload":
        call = in_background(minerva.delete, f"/v1/models/{model}?force=true")
    elif what == "idle":
        call = None
    else:
        call = in_background(ask, minerva, model, what == "stream")
    random_moment(source, LONGEST_MOMENT_OF_A_MOVE_S if what in ("park call", "wake") else LONGEST_MOMENT_S)
    hit = kill_some_engine(minerva, model)
    if call is None:
        end = "nothing asked"
    elif what in ("load call", "unload", "park call"):
        answer = call.result()
        honest = HONEST_OF_A_PARK if what == "park call" else HONEST
        expect(answer.status == 200 or (answer.status, answer.error["code"]) in honest, f"{what}: {answer}")
        end = str(answer.status)
    else:
        end = call.result()
        if not end.startswith("error"):
            expect(end == reference[model], f"a wrong answer: {end!r}, not {reference[model]!r}")
            end = "right answer"
    serves_again(minerva, model, reference)
    return hit, f"{what}: {end}"


def engine_kills(seed):
    source = random.Random(seed)
    with common.daemon(common.tiny_models(), "--max-models", 2, "--log-level", "info", config=CONFIG) as minerva:
        reference = {}
        for model in CHAT_MODELS:
            text = ask(minerva, model, streamed=False)
            expect(not text.startswith("error"), f"no reference answer: {text}")
            reference[model] = text
        idle = common.descriptors(minerva.process.pid)
        ends, hits, tries = Counter(), 0, 0
        while hits < ENGINE_KILLS:
            hit, end = one_engine_kill(minerva, source, reference)
            tries, hits = tries + 1, hits + hit
            ends[end] += 1
        figure("engine kills", f"{hits} in {tries} tries")
        for end, count in sorted(ends.items()):
            figure(f"  {end}", count)
        wait_until(lambda: common.descriptors(minerva.process.pid) <= idle + 4, "no descriptor is lost")


def socket_folders(minerva):
    return [entry for entry in minerva.folder.iterdir() if entry.name.startswith("minerva-")]


def one_daemon_kill(minerva, source):
    """Starts a daemon, lets it do something, and kills it at a random moment. Checks that nothing of it lives on."""
    minerva.start()
    expect(len(socket_folders(minerva)) == 1, f"folders of killed daemons are left: {socket_folders(minerva)}")
    calls = [in_background(lambda m=model: attempt(minerva, m)) for model in source.sample(CHAT_MODELS, 3)]
    if source.random() < 0.7:  # else it is killed while it starts, scans or inspects
        wait_until(minerva.engines, "an engine appears")
    random_moment(source, 0.8)
    engines = len(minerva.engines())
    minerva.kill()
    wait_until(lambda: minerva.engines() == [], "no engine outlives its daemon")
    images = minerva.folder / "state" / "images"
    expect(not images.exists() or os.listdir(images) == [], "an image outlives its daemon")
    minerva.process.stdout.close()
    for call in calls:
        call.result()
    return engines


def attempt(minerva, model):
    try:
        return ask(minerva, model, streamed=True)
    except OSError:
        return "error: no connection"


def daemon_kills(seed):
    source = random.Random(seed)
    listen = pathlib.Path("/tmp") / f"mv-kills-{os.getpid()}.sock"
    minerva = Minerva(common.tiny_models(), "--max-models", 2, "--log-level", "info", config=CONFIG,
                      listen=f"unix:{listen}")
    try:
        alive = [one_daemon_kill(minerva, source) for _ in range(DAEMON_KILLS)]
        figure("daemon kills", f"{len(alive)}, with {sum(alive)} engines alive at that moment in all")
        minerva.start()
        text = ask(minerva, "a", streamed=False)
        expect(not text.startswith("error"), f"the last daemon does not serve: {text}")
        minerva.stop()
        expect(not listen.exists(), "the daemon's socket is left")
        expect(socket_folders(minerva) == [], f"folders are left: {socket_folders(minerva)}")
    except BaseException:
        print(minerva.log()[-6000:], flush=True)
        raise
    finally:
        minerva.clean()
        listen.unlink(missing_ok=True)


def campaign():
    seed = common.seed_from_environment()
    engine_kills(seed)
    daemon_kills(seed)


if __name__ == "__main__":
    common.main(campaign)
