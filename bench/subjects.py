"""The programs that the benchmarks compare, the models that they serve, and the place where they run.

All of them run the same llama.cpp, over TCP, on this machine.
"""
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/bin"
CACHE = pathlib.Path(os.environ.get("MINERVA_CACHE") or pathlib.Path.home() / ".cache/minerva")
DEMO = {"smollm2-135m": CACHE / "models/smollm2-135m.gguf", "gemma3-270m": CACHE / "models/gemma3-270m.gguf"}
# 1.14 billion parameters, 0.64 GB; its KV cache takes 128 KiB per token.
LARGE = ["--embd", "2048", "--layers", "16", "--ffn", "8192", "--quant", "q4_0", "--ctx", "8192"]
START_TIMEOUT = 120
ANSWER_TIMEOUT = 600


def generated_model(name, options):
    """A model file of make_gguf, made once for its options and kept in the cache."""
    source = (ROOT / "engine/src/make_gguf.cc").read_bytes()
    key = hashlib.sha256(repr(options).encode() + source).hexdigest()[:12]
    file = CACHE / "bench-models" / f"{name}-{key}.gguf"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as aside:
            made = pathlib.Path(aside) / f"{name}.gguf"
            subprocess.run([BIN / "make_gguf", made, *options], check=True, capture_output=True)
            made.rename(file)
    return file


def large_models(count):
    """Returns name -> file. The models differ only in their weights."""
    return {f"large-{number}": generated_model(f"large-{number}", [*LARGE, "--seed", str(number)])
            for number in range(1, count + 1)}


def require_demo_models():
    for file in DEMO.values():
        if not file.exists():
            sys.exit(f"bench: {file} is missing; `make demo-models` fetches it")


class Failed(Exception):
    """A request did not get a 200."""


class Answer:
    def __init__(self, status, headers, body, seconds):
        self.status = status
        self.headers = headers
        self.body = body
        self.seconds = seconds  # until the last byte of the answer

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def timings(self):
        """llama.cpp's timings: `prompt_n` tokens of the prompt were computed, `cache_n` were in the cache, and more."""
        return self.json["timings"]

    @property
    def found(self):
        """How the request found its model: hit, parked or miss."""
        return self.headers.get("x-minerva-cache")


class Server:
    """A program under test that listens on 127.0.0.1. `before_exec`: called in its process before it becomes the
    program."""

    def __init__(self, name, argv, port=None, environment=None, log=None, before_exec=None):
        self.name = name
        self.port = port
        self.log = open(log, "ab") if log else subprocess.DEVNULL
        # However the benchmark ends, this process ends too.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, argv)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, preexec_fn=before_exec,
                                        env={**clean_environment(), **(environment or {})})

    def read_line(self, wanted):
        """Waits for a line of stdout that holds `wanted`."""
        for line in self.process.stdout:
            if wanted in line.decode(errors="replace"):
                return line.decode(errors="replace").strip()
        raise Failed(f"{self.name} ended before it said {wanted!r}")

    def wait_healthy(self):
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.call("GET", "/health").status == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        raise Failed(f"{self.name} does not become healthy")

    def call(self, method, path, body=None, timeout=ANSWER_TIMEOUT):
        start = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read(), time.monotonic() - start)
        finally:
            connection.close()

    def ask(self, method, path, body=None, timeout=ANSWER_TIMEOUT):
        """Errors: Failed unless it is answered with 200."""
        try:
            answer = self.call(method, path, body, timeout)
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{self.name}: {method} {path}: {error!r}") from error
        if answer.status != 200:
            raise Failed(f"{self.name}: {method} {path}: {answer.status} {answer.body[:500]!r}")
        return answer

    def first_token(self, model, found=None):
        """Seconds until a request for one token is answered. `found`: how Minerva must find the model."""
        answer = self.ask("POST", "/v1/completions", first_token_body(model))
        self.expect(answer, found)
        return answer.seconds

    def complete(self, model, tokens, count, found=None, **more):
        """Continues a text, given as tokens, by `count` tokens."""
        answer = self.ask("POST", "/completion", {"model": model, "prompt": tokens, "n_predict": count, "temperature": 0,
                                                  "ignore_eos": True, "return_tokens": True, **more})
        self.expect(answer, found)
        return answer

    def expect(self, answer, found):
        if found is not None and answer.found != found:
            raise Failed(f"{self.name}: the model should have been found {found}, and was {answer.found}")

    def park(self, model):
        """Seconds."""
        answer = self.ask("POST", f"/v1/models/{model}/park")
        if answer.json["state"] != "parked":
            raise Failed(f"{self.name} does not park {model}: {answer.body[:500]!r}")
        return answer.seconds

    def stop(self):
        # The bare engine ends with its stdin, the others at SIGTERM.
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
    """The text of a completion, since one of the demo models has no chat template."""
    return {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Stage:
    """The place where subjects run: folders and servers, all removed when the `with` ends.

        The folder for models, state and images is on the cache's disk: if /tmp is in memory, parking there would free nothing.
        The folder for sockets is in /tmp, since their paths may have only 107 bytes.
        """

    def __init__(self, minerva):
        self.program = minerva
        self.servers = []

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        CACHE.mkdir(parents=True, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=CACHE))
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="mv-bench-", dir="/tmp"))
        return self

    def __exit__(self, *_):
        self.stop_all()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def models_dir(self, name, files):
        """A folder in which each file is ID.gguf. `files`: id -> file."""
        folder = self.folder / name
        folder.mkdir()
        for model, file in files.items():
            try:
                os.link(file, folder / f"{model}.gguf")
            except OSError:  # the file is on another file system
                shutil.copy(file, folder / f"{model}.gguf")
        return folder

    def minerva(self, models_dir, config="", max_models=1, before_exec=None, log_level="warn", name="minerva",
                program=None, state=None, port=0, environment=None):
        """`state`: the folder of an earlier server, whose state the new one goes on with. `port`: 0: a free one."""
        state = state or pathlib.Path(tempfile.mkdtemp(prefix="state", dir=self.folder))
        (state / "minerva.toml").write_text(config)
        server = Server(name, [program or self.program, "serve", "--listen", f"127.0.0.1:{port}", "--models-dir", models_dir,
                                    "--max-models", max_models, "--state-dir", state, "--engine", BIN / "minerva-engine",
                                    "--config", state / "minerva.toml", "--log-level", log_level],
                        environment={"XDG_RUNTIME_DIR": str(self.sockets), **(environment or {})},
                        log=self.folder / "minerva.log",
                        before_exec=before_exec)
        server.state = state
        self.servers.append(server)
        server.port = int(server.read_line("minerva listens on").rsplit(":", 1)[1])
        return server

    def direct(self, file, flags, settings, engine=BIN / "minerva-engine"):
        """The bare engine of one model."""
        port = free_port()
        server = Server("direct", [engine, "--host", "127.0.0.1", "--port", port, "-m", file, *flags],
                        port, {**settings, "LLAMA_SERVER_ROUTER_PORT": "1"}, self.folder / "direct.log")
        self.servers.append(server)
        server.read_line('"state":"ready"')
        return server

    def router(self, models_dir, flags, settings, name="router", models_max=1, before_exec=None,
               program=BIN / "llama-server"):
        """llama.cpp's own server."""
        port = free_port()
        log = self.folder / f"{name.replace(' ', '-')}.log"
        server = Server(name, [program, "--host", "127.0.0.1", "--port", port, "--models-dir", models_dir,
                               "--models-max", models_max, *flags], port, settings, log, before_exec)
        self.servers.append(server)
        # Nobody reads the pipe, and a full pipe would stop the server.
        server.process.stdout.close()
        server.process.stdout = open(os.devnull, "rb")
        return server.wait_healthy()

    def stop(self, server):
        self.servers.remove(server)
        server.stop()

    def stop_all(self):
        while self.servers:
            self.servers.pop().stop()


# ---- Minerva's engines ----

class EngineProcess:
    def __init__(self, pid, argv, environment):
        self.pid = pid
        self.argv = argv
        self.environment = environment

    def flags(self):
        """The flags that Minerva gave the engine, without address and file."""
        flags = self.argv[1:]
        for own in ("--host", "-m", "--alias"):
            at = flags.index(own)
            del flags[at:at + 2]
        return flags

    def settings(self):
        """The variables of its environment that concern threads."""
        return {name: value for name, value in self.environment.items() if name.startswith(("OMP_", "GOMP_"))}

    def memory(self):
        """Its memory in bytes, by the names of smaps_rollup."""
        lines = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        return {name[:-1]: int(amount) << 10 for name, amount, _ in (line.split() for line in lines)}

    def transferred(self):
        """Its I/O in bytes, by the names of /proc/PID/io: wchar it wrote to files, read_bytes came from disks."""
        lines = pathlib.Path(f"/proc/{self.pid}/io").read_text().splitlines()
        return {name: int(amount) for name, amount in (line.split(": ") for line in lines)}


def engine_of(server, model):
    """The engine process of `model` below a Minerva."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().decode().split("\0")[:-1]
            entries = (path.parent / "environ").read_bytes().decode().split("\0")
            parent = int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, UnicodeDecodeError):
            continue
        if parent == server.process.pid and "--alias" in argv and argv[argv.index("--alias") + 1] == model:
            environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
            return EngineProcess(int(path.parent.name), argv, environment)
    raise Failed(f"found no engine of {model} below {server.name}")


def unload(router, model):
    """Waits until llama.cpp's router has unloaded `model`."""
    router.ask("POST", "/models/unload", {"model": model})
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        listed = router.ask("GET", "/models").json["data"]
        status = next(entry["status"]["value"] for entry in listed if entry["id"] == model)
        if status == "unloaded":
            return
        time.sleep(0.02)
    raise Failed(f"{router.name} does not unload {model}")


def build(options):
    """What a benchmark needs of the release build."""
    subprocess.run(["cmake", "--build", options.build, "--target", "minerva", "loadgen"], check=True,
                   stdout=subprocess.DEVNULL)
    return options.build / "bin/minerva"
