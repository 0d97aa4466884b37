"""Overload: ten times as many requests as the engines can answer, and thousands of silent streams. Fake engines
(tests/fakes) take the place of real ones, so that only the daemon is measured.

What must hold: the number of answers stays close to what is possible (goodput). All other requests are refused quickly, with
429 or 503 and a Retry-After. Every request ends, and afterwards nothing of it is left in queues and leases. The daemon's
memory stays bounded.

Environment: MINERVA_FAKES_DIR (where fake_engine and offered_load are), OVERLOAD_SECONDS (10) per rate,
OVERLOAD_STREAMS ("2000 5000"), OVERLOAD_TIMED (1; 0 prints the rates and asserts only what does not depend on time).
"""
import json
import os
import pathlib
import resource
import selectors
import shutil
import socket
import subprocess
import tempfile

import common
from common import expect, figure, mib
from harness import BIN_DIR, SHADOWED, wait_until

FAKES = pathlib.Path(os.environ.get("MINERVA_FAKES_DIR", BIN_DIR)).absolute()
SECONDS = common.number_from_environment("OVERLOAD_SECONDS", 10.0)
STREAMS = [int(count) for count in os.environ.get("OVERLOAD_STREAMS", "2000 5000").split()]
TIMED = os.environ.get("OVERLOAD_TIMED", "1") == "1"
SERVICE_MS, SLOTS = 20, 4
MOST_SLOTS = 256
CAPACITY = SLOTS * 1000 / SERVICE_MS  # requests per second
FACTOR = 10


def fake_daemon(folder, limits="", slots=SLOTS):
    model = folder / "fake.gguf"
    model.write_text(f"{SERVICE_MS} 16\n")
    config = f'{limits}\n[model."fake"]\npath = "fake.gguf"\nparallel = {slots}\n'
    return common.daemon({"fake": model}, "--engine", FAKES / "fake_engine", "--log-level", "warn", config=config)


def offer(minerva, rate):
    done = subprocess.run([FAKES / "offered_load", f"127.0.0.1:{minerva.port}", "fake", str(rate), str(SECONDS)],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return json.loads(done.stdout)


def goodput(result):
    return result["ok"] / result["seconds"]


def check_ends(result):
    """Checks that every request ended in exactly one of the promised ways."""
    expect(set(result["statuses"]) <= {"200", "429", "503"}, f"unexpected answers: {result['statuses']}")
    expect(result["broken"] == 0, f"{result['broken']} requests were never answered")
    expect(result["ok"] + result["rejected"] == result["offered"], f"some requests ended twice or never: {result}")
    expect(result["without_retry_after"] == 0, "a refusal does not say when to come back")


def nothing_left(minerva):
    def idle():
        model = minerva.view("fake")
        return model["leases"] == 0 and model["waiting"] == 0

    wait_until(idle, "no lease and no waiter is left")


def overload(folder):
    with fake_daemon(folder) as minerva:
        expect(minerva.load("fake").status == 200, "the fake engine does not load")
        pid = minerva.process.pid
        peak = offer(minerva, CAPACITY * 0.95)
        check_ends(peak)
        before = common.private_bytes(pid)
        crowd = offer(minerva, CAPACITY * FACTOR)
        check_ends(crowd)
        nothing_left(minerva)
        after = common.private_bytes(pid)
        figure("capacity", f"{CAPACITY:.0f} requests/s ({SLOTS} slots of {SERVICE_MS} ms)")
        figure("goodput offered 0.95x", f"{goodput(peak):.1f}/s, answers p50 {peak['ok_p50_ms']} ms")
        figure(f"goodput offered {FACTOR}x", f"{goodput(crowd):.1f}/s, {100 * goodput(crowd) / goodput(peak):.1f} % of that")
        figure(f"rejections offered {FACTOR}x", f"{crowd['rejected']} of {crowd['offered']}, "
               f"p50 {crowd['rejected_p50_ms']} ms, p99 {crowd['rejected_p99_ms']} ms")
        figure("daemon's private memory", f"{mib(before)} before, {mib(after)} after")
        expect(crowd["rejected"] > 0, "nothing was refused: this was no overload")
        if TIMED:
            expect(goodput(crowd) >= 0.95 * goodput(peak), "goodput falls under overload")
            expect(crowd["rejected_p99_ms"] <= 10, "refusals are slow")
            expect(after <= before + (32 << 20), "the daemon keeps memory of the crowd")


def open_streams(minerva, count):
    """Connections that have got their first event, or the comment that they wait for a slot, and now wait for more."""
    body = json.dumps({"model": "fake", "stream": True, "prompt": "x"})
    request = (f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    streams = []
    waiting = selectors.DefaultSelector()
    for _ in range(count):
        stream = socket.create_connection(("127.0.0.1", minerva.port), common.harness.PATIENCE)
        stream.sendall(request)
        streams.append(stream)
        waiting.register(stream, selectors.EVENT_READ, bytearray())
    while waiting.get_map():
        ready = waiting.select(common.harness.PATIENCE)
        expect(ready, f"{len(waiting.get_map())} of {count} streams got no event")
        for key, _ in ready:
            piece = key.fileobj.recv(65536)
            expect(piece, f"a stream was closed: {bytes(key.data)!r}")
            key.data.extend(piece)
            if b"\r\n\r\n" in key.data:
                expect(key.data.startswith(b"HTTP/1.1 200 "), f"a stream was refused: {bytes(key.data)!r}")
            if b"data: " in key.data or b"\n: waiting" in key.data:
                waiting.unregister(key.fileobj)
    return streams


def idle_streams(folder, count):
    most = 2 * count + 200  # one peer may have half of them
    # These engines are silent on purpose.
    limits = (f"[limits]\nmax_connections = {most}\nstall_timeout = \"0s\"\n"
              f"[queue]\nmax_per_model = {most}\nmax_total = {most}\n")
    with fake_daemon(folder, limits, min(count, MOST_SLOTS)) as minerva:
        expect(minerva.load("fake").status == 200, "the fake engine does not load")
        pid = minerva.process.pid
        before = common.private_bytes(pid)
        idle_descriptors = common.descriptors(pid)
        streams = open_streams(minerva, count)
        during = common.private_bytes(pid)
        figure(f"{count} idle streams", f"{mib(during - before)} of private memory, "
               f"{(during - before) / count / 1024:.1f} KiB each, {common.descriptors(pid) - idle_descriptors} descriptors")
        expect(minerva.get("/health").status == 200, "nobody else is served meanwhile")
        expect(during - before <= count * 128 * 1024 * SHADOWED, "a stream takes more than 128 KiB")
        for stream in streams:
            stream.close()
        nothing_left(minerva)
        wait_until(lambda: common.descriptors(pid) <= idle_descriptors + 2, "every stream's descriptors are closed")


def campaign():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the daemon and its engines inherit it
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mv-overload-"))
    try:
        overload(folder)
        for count in STREAMS:
            expect(most > 2 * count + 100, f"{count} streams need more descriptors than the {most} this user may have")
            idle_streams(folder, count)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    common.main(campaign)
