#!/usr/bin/env python3
"""Minerva beside the bare engine and llama.cpp's stock router: one run, interleaved, medians, ratios.

All three run the same llama.cpp with the same flags (those Minerva gave its engine, read from its command line), on
TCP, on this machine. Each measurement goes round the subjects several times, so that a disturbance meets all of them.

usage: bench/bench.py [--rounds N] [--seconds S] [--only NAME] [--build DIR] [--json FILE]
"""
import argparse
import http.client
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/bin"
CACHE = pathlib.Path(os.environ.get("MINERVA_CACHE") or pathlib.Path.home() / ".cache/minerva")
DEMO = {"smollm2-135m": CACHE / "models/smollm2-135m.gguf", "gemma3-270m": CACHE / "models/gemma3-270m.gguf"}
TINY = "tiny"
STREAMS = 8
START_TIMEOUT = 120
BUSY = " (busy with something else: the figures mean little)"


class Server:
    """A program under test, listening on 127.0.0.1."""

    def __init__(self, name, argv, port=None, environment=None, log=None):
        self.name = name
        self.port = port
        self.log = open(log, "ab") if log else subprocess.DEVNULL
        # However the benchmark ends, nothing of it stays.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, argv)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log,
                                        env={**clean_environment(), **(environment or {})})

    def read_line(self, wanted):
        """Waits for a line of stdout that holds `wanted`."""
        for line in self.process.stdout:
            if wanted in line.decode(errors="replace"):
                return line.decode(errors="replace").strip()
        sys.exit(f"bench: {self.name} ended before it said {wanted!r}")

    def wait_healthy(self):
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end:
            try:
                if self.call("GET", "/health")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        sys.exit(f"bench: {self.name} does not become healthy")

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        if status != 200:
            sys.exit(f"bench: {self.name}: {method} {path}: {status} {answer[:500]!r}")
        return answer

    def first_token(self, model):
        """Seconds until a request for one token is answered."""
        start = time.monotonic()
        self.ask("POST", "/v1/chat/completions", first_token_body(model))
        return time.monotonic() - start

    def stop(self):
        # The bare engine follows stdin, the others SIGTERM.
        self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def clean_environment():
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


def first_token_body(model):
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ---- the three subjects ----

def start_minerva(options, folder, models_dir, config="", max_models=1):
    state = pathlib.Path(tempfile.mkdtemp(prefix="state", dir=folder))
    (state / "minerva.toml").write_text(config)
    server = Server("minerva", [options.minerva, "serve", "--listen", "127.0.0.1:0", "--models-dir", models_dir,
                                "--max-models", max_models, "--state-dir", state, "--engine", BIN / "minerva-engine",
                                "--config", state / "minerva.toml", "--log-level", "warn"],
                    environment={"XDG_RUNTIME_DIR": str(folder)}, log=folder / "minerva.log")
    server.port = int(server.read_line("minerva listens on").rsplit(":", 1)[1])
    return server


def engine_flags(server, model):
    """The flags Minerva gave the engine of `model` (loaded now), without address and file; and its settings."""
    children = pathlib.Path("/proc").glob("[0-9]*/cmdline")
    for path in children:
        try:
            argv = path.read_bytes().decode().split("\0")[:-1]
            environment = (path.parent / "environ").read_bytes().decode().split("\0")
            parent = int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, UnicodeDecodeError):
            continue
        if parent != server.process.pid or "-m" not in argv:
            continue
        flags = argv[1:]
        for own in ("--host", "-m", "--alias"):
            at = flags.index(own)
            del flags[at:at + 2]
        settings = dict(entry.split("=", 1) for entry in environment if entry.startswith(("OMP_", "GOMP_")))
        return flags, settings
    sys.exit(f"bench: found no engine of {model} below Minerva")


def start_direct(folder, file, flags, settings):
    port = free_port()
    server = Server("direct", [BIN / "minerva-engine", "--host", "127.0.0.1", "--port", port, "-m", file, *flags], port,
                    {**settings, "LLAMA_SERVER_ROUTER_PORT": "1"}, folder / "direct.log")
    server.read_line('"state":"ready"')
    return server


def start_router(folder, models_dir, flags, settings):
    port = free_port()
    server = Server("router", [BIN / "llama-server", "--host", "127.0.0.1", "--port", port, "--models-dir", models_dir,
                               "--models-max", 1, *flags], port, settings, folder / "router.log")
    # Nobody reads it; a full pipe would stop it.
    server.process.stdout.close()
    server.process.stdout = open(os.devnull, "rb")
    return server.wait_healthy()


# ---- measurements: each returns {row: {subject: [values]}} ----

def load(options, server, path, body, connections, seconds, max_requests=0):
    done = subprocess.run([options.loadgen, f"127.0.0.1:{server.port}", path, json.dumps(body), str(connections),
                           str(seconds), str(max_requests)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: {server.name}: {path}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure_proxying(options, servers, rows):
    tokenize = {"model": TINY, "content": "Hello world"}
    stream = {"model": TINY, "prompt": "Hello", "max_tokens": 1500, "temperature": 0, "stream": True,
              "ignore_eos": True, "cache_prompt": False}
    wanted = [
        ("/tokenize, 16 connections", "requests/s", lambda s: load(options, s, "/tokenize", tokenize, 16,
                                                                   options.seconds)["requests_per_s"]),
        ("one stream", "chunks/s", lambda s: load(options, s, "/v1/completions", stream, 1, 60, 1)["events_per_s"]),
        (f"{STREAMS} streams", "chunks/s", lambda s: load(options, s, "/v1/completions", stream, STREAMS, 60,
                                                          STREAMS)["events_per_s"]),
    ]
    for server in servers:  # warm-up; the router loads its model now
        server.first_token(TINY)
    for _ in range(options.rounds):
        for row, unit, measure in wanted:
            for server in servers:
                rows.add(row, unit, server.name, measure(server))
        for server in servers:
            latency = load(options, server, "/tokenize", tokenize, 1, options.seconds)
            rows.add("/tokenize latency p50", "ms", server.name, latency["p50_ms"])
            rows.add("/tokenize latency p99", "ms", server.name, latency["p99_ms"])


def unload_router(server, model):
    server.ask("POST", "/models/unload", {"model": model})
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        listed = json.loads(server.ask("GET", "/models"))["data"]
        status = next(entry["status"]["value"] for entry in listed if entry["id"] == model)
        if status == "unloaded":
            return
        time.sleep(0.02)
    sys.exit("bench: the router does not unload")


def measure_cold_load(options, folder, minerva, router, model, flags, settings, rows):
    minerva.first_token(model)
    router.first_token(model)
    for _ in range(options.rounds):
        minerva.ask("DELETE", f"/v1/models/{model}")
        rows.add("cold load to first token", "ms", "minerva", 1000 * minerva.first_token(model))

        start = time.monotonic()
        direct = start_direct(folder, DEMO[model], flags, settings)
        direct.first_token(model)
        rows.add("cold load to first token", "ms", "direct", 1000 * (time.monotonic() - start))
        direct.stop()

        unload_router(router, model)
        rows.add("cold load to first token", "ms", "router", 1000 * router.first_token(model))


def measure_switches(options, minerva, router, rows):
    for _ in range(options.rounds):
        for server in (minerva, router):
            for model in DEMO:
                rows.add("switch to the other model", "ms", server.name, 1000 * server.first_token(model))


# ---- the table ----

class Rows:
    def __init__(self):
        self.values = {}  # row -> (unit, {subject: [values]})

    def add(self, row, unit, subject, value):
        self.values.setdefault(row, (unit, {}))[1].setdefault(subject, []).append(value)

    def median(self, row, subject):
        values = self.values[row][1].get(subject)
        return statistics.median(values) if values else None

    def compare(self, row, how):
        minerva, direct, router = (self.median(row, subject) for subject in ("minerva", "direct", "router"))
        return how(minerva, direct, router)


# row -> (aim in words, Minerva against the aim: (figure, reached))
AIMS = {
    "/tokenize, 16 connections": ("0.6 of direct", lambda m, d, r: (f"{m / d:.2f}", m / d >= 0.6)),
    "one stream": ("0.97 of direct", lambda m, d, r: (f"{m / d:.3f}", m / d >= 0.97)),
    f"{STREAMS} streams": ("0.97 of direct", lambda m, d, r: (f"{m / d:.3f}", m / d >= 0.97)),
    "/tokenize latency p50": ("+0.5 ms over direct", lambda m, d, r: (f"{m - d:+.3f} ms", m - d < 0.5)),
    "/tokenize latency p99": ("+0.5 ms over direct", lambda m, d, r: (f"{m - d:+.3f} ms", m - d < 0.5)),
    "cold load to first token": ("+30 ms over direct", lambda m, d, r: (f"{m - d:+.0f} ms", m - d <= 30)),
    "switch to the other model": ("1.0 of router", lambda m, d, r: (f"{m / r:.2f}", m / r <= 1.0)),
}


def print_table(rows, flags, load_before):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
                            check=False).stdout.strip()
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1]) >> 20
    print(f"\nminerva {commit}; {os.cpu_count()} x {cpu}, {memory} GiB, Linux {platform.release()}")
    for model, used in flags.items():
        print(f"engine of {model}: {' '.join(used)}")
    print(f"load of the machine before: {load_before:.1f}" + (BUSY if load_before > 0.5 else "") + "\n")
    heading = f"{'':28}{'minerva':>10}{'direct':>10}{'router':>10} {'':11}{'/direct':>8}{'/router':>8}   aim"
    print(heading + "\n" + "-" * (len(heading) + 24))
    for row, (unit, _) in rows.values.items():
        median = {subject: rows.median(row, subject) for subject in ("minerva", "direct", "router")}
        shown = "".join("         -" if v is None else f"{v:10.3f}" if v < 10 else f"{v:10.0f}" for v in median.values())
        ratios = "".join("       -" if median[other] is None else f"{median['minerva'] / median[other]:8.2f}"
                         for other in ("direct", "router"))
        words, how = AIMS[row]
        figure, reached = rows.compare(row, how)
        print(f"{row:28}{shown} {unit:11}{ratios}   {words}: {figure} {'reached' if reached else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each throughput measurement")
    parser.add_argument("--only", choices=["proxying", "loading"])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--json", type=pathlib.Path, help="write every value there")
    options = parser.parse_args()
    options.minerva = options.build / "bin/minerva"
    options.loadgen = options.build / "bin/loadgen"
    subprocess.run(["cmake", "--build", options.build, "--target", "minerva", "loadgen"], check=True,
                   stdout=subprocess.DEVNULL)
    for file in DEMO.values():
        if not file.exists():
            sys.exit(f"bench: {file} is missing; `make demo-models` fetches it")

    rows = Rows()
    flags = {}  # model -> of its engine
    load_before = os.getloadavg()[0]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mv-bench-", dir="/tmp"))
    servers = []

    def keep(server):
        servers.append(server)
        return server

    def stop_all():
        while servers:
            servers.pop().stop()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if options.only != "loading":
            tiny_dir = folder / "tiny"
            tiny_dir.mkdir()
            subprocess.run([BIN / "make_gguf", tiny_dir / f"{TINY}.gguf"], check=True, capture_output=True)
            config = f'[model."{TINY}"]\npath = "{TINY}.gguf"\nparallel = {STREAMS}\ncontext = 2048\n'
            minerva = keep(start_minerva(options, folder, tiny_dir, config))
            minerva.first_token(TINY)
            flags[TINY], settings = engine_flags(minerva, TINY)
            direct = keep(start_direct(folder, tiny_dir / f"{TINY}.gguf", flags[TINY], settings))
            router = keep(start_router(folder, tiny_dir, flags[TINY], settings))
            measure_proxying(options, [minerva, direct, router], rows)
            stop_all()
        if options.only != "proxying":
            demo_dir = folder / "demo"
            demo_dir.mkdir()
            for model, file in DEMO.items():
                try:
                    os.link(file, demo_dir / f"{model}.gguf")
                except OSError:  # another file system
                    shutil.copy(file, demo_dir / f"{model}.gguf")
            model = next(iter(DEMO))
            minerva = keep(start_minerva(options, folder, demo_dir))
            minerva.first_token(model)
            flags[model], settings = engine_flags(minerva, model)
            router = keep(start_router(folder, demo_dir, flags[model], settings))
            measure_cold_load(options, folder, minerva, router, model, flags[model], settings, rows)
            measure_switches(options, minerva, router, rows)
            stop_all()
    finally:
        stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    print_table(rows, flags, load_before)
    if options.json:
        options.json.write_text(json.dumps(rows.values, indent=1))


if __name__ == "__main__":
    main()
