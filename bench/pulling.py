#!/usr/bin/env python3
"""How fast a pull is, beside curl, from the same native file server (nginx) on loopback; and how much a limited pull slows
a running stream.

The hub consists of a few routes in this file. They say the file's hash and redirect to the file server, as the real hub
does. A pull hashes and syncs what it writes; curl does neither. curl runs at the nice value of a pull. Each round measures
both, one after the other, so that a disturbance meets both.

usage: bench/pulling.py [--size MIB] [--rounds N] [--folder DIR] [--minerva FILE] [--stream GGUF] [--json FILE]
"""
import argparse
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMIT = "c0ffee" + "0" * 34
LIMIT = "110MiB"  # per second: a line of 1 Gbit/s
TOKENS = 400


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files = 0  # the address of the file server
    size = 0
    sha256 = ""

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        if "/revision/" in path:
            return self.answer(200, json.dumps({"sha": COMMIT, "gated": False}).encode())
        if "/tree/" in path:
            entry = {"type": "file", "path": "big-Q8_0.gguf", "size": self.size,
                     "lfs": {"oid": self.sha256, "size": self.size}}
            return self.answer(200, json.dumps([entry]).encode())
        return self.answer(302, b"", [("X-Repo-Commit", COMMIT), ("X-Linked-Etag", f'"{self.sha256}"'),
                                      ("X-Linked-Size", str(self.size)), ("Location", self.files + "/big.gguf")])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until_it_answers(url):
    end = time.monotonic() + 30
    while True:
        try:
            return urllib.request.urlopen(url, timeout=5).read(1)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def file_server(folder):
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(f"""daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}
""")
    (folder / "www/small").write_text("x")
    server = subprocess.Popen(["nginx", "-c", str(config), "-e", str(folder / "error.log")])
    try:
        until_it_answers(f"http://127.0.0.1:{port}/small")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def write_big(path, size):
    digest = hashlib.sha256()
    block = os.urandom(1 << 20)
    with open(path, "wb") as out:
        for number in range(size >> 20):
            piece = (b"GGUF" if number == 0 else number.to_bytes(4, "little")) + block[4:]
            digest.update(piece)
            out.write(piece)
    return digest.hexdigest()


class Server:
    def __init__(self, options, folder, hub, *args):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "hf/hub").mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(folder / "hf")}
        self.process = subprocess.Popen(
            [options.minerva, "serve", "--listen", f"127.0.0.1:{self.port}", "--state-dir", str(folder / "state"),
             "--engine", str(ROOT / "build/bin/minerva-engine"), "--models-dir", str(folder / "hf/hub"), *args], env=environment, stderr=open(folder / "log", "ab"))
        until_it_answers(self.url + "/health")

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request, timeout=600).read())

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def pull(self):
        request = urllib.request.Request(self.url + "/v1/pull", method="POST", data=b'{"model":"org/big:Q8_0"}',
                                         headers={"Content-Type": "application/json", "Accept": "text/event-stream"})
        lines = urllib.request.urlopen(request, timeout=600).read().decode().splitlines()
        job = json.loads([line for line in lines if line.startswith("data: ")][-1][len("data: "):])
        # The file is verified and in its place. Only after that it turns out to be no model.
        came = job["state"] == "done" or (job["error"] or {}).get("code") == "invalid_model"
        if not came:
            raise SystemExit(f"the pull failed: {job}")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def timed(deed):
    begin = time.monotonic()
    deed()
    return time.monotonic() - begin


def measure(options, folder, hub, files):
    rates = {"curl": [], "curl, then sync": [], "minerva pull": []}
    cpu = []
    mib = options.size
    for number in range(options.rounds):
        target = folder / "out"
        curl = ["nice", "-n", "19", "curl", "-sSf", f"{files}/big.gguf", "-o", str(target)]
        rates["curl"].append(mib / timed(lambda: subprocess.run(curl, check=True)))
        target.unlink()
        rates["curl, then sync"].append(mib / timed(lambda: (subprocess.run(curl, check=True),
                                                             subprocess.run(["sync", str(target)], check=True))))
        target.unlink()
        own = folder / f"own{number}"
        own.mkdir()
        server = Server(options, own, hub)
        before = server.cpu_seconds()
        rates["minerva pull"].append(mib / timed(server.pull))
        cpu.append((server.cpu_seconds() - before) / mib * 1024)
        server.stop()
        shutil.rmtree(own)
    return {name: statistics.median(values) for name, values in rates.items()}, statistics.median(cpu)


def tokens_per_second(server, model):
    body = {"model": model, "prompt": "Hello", "max_tokens": TOKENS, "temperature": 0, "stream": True, "ignore_eos": True,
            "cache_prompt": False}
    request = urllib.request.Request(server.url + "/v1/completions", data=json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    events, first, last = 0, None, None
    for line in urllib.request.urlopen(request, timeout=600):
        if line.startswith(b"data: {"):
            last = time.monotonic()
            first = first or last
            events += 1
    return (events - 1) / (last - first)


def measure_stream(options, folder, hub):
    """The rate of a stream beside a limited pull, as a share of its rate without the pull."""
    own = folder / "stream"
    models = own / "hf/hub"
    models.mkdir(parents=True)
    shutil.copy(options.stream, models / "beside.gguf")
    (own / "minerva.toml").write_text(f'[pull]\nmax_rate = "{LIMIT}"\n')
    server = Server(options, own, hub, "--config", str(own / "minerva.toml"))
    tokens_per_second(server, "beside")
    alone, beside, pulled = [], [], []
    for _ in range(options.rounds):
        alone.append(tokens_per_second(server, "beside"))
        job = server.call("POST", "/v1/pull", {"model": "org/big:Q8_0"})["id"]

        def done():
            return next(j["done_bytes"] for j in server.call("GET", "/v1/downloads")["data"] if j["id"] == job)
        while done() == 0:
            time.sleep(0.05)
        begin, had = time.monotonic(), done()
        beside.append(tokens_per_second(server, "beside"))
        pulled.append((done() - had) / (time.monotonic() - begin) / (1 << 20))
        server.call("DELETE", f"/v1/downloads/{job}")
        time.sleep(1)  # it ends
        shutil.rmtree(models / "models--org--big")
    server.stop()
    share = statistics.median(b / a for a, b in zip(alone, beside))
    print(f"a stream: {statistics.median(alone):.1f} tokens/s alone, {statistics.median(beside):.1f} beside a pull with "
          f"max_rate = {LIMIT} that came with {statistics.median(pulled):.0f} MiB/s: {share:.3f} of it")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="on the disk to measure; default: a new one in /var/tmp")
    parser.add_argument("--minerva", default=str(ROOT / "build/release/bin/minerva"))
    parser.add_argument("--stream", metavar="GGUF", help="also measure what a stream of this model loses by a pull")
    parser.add_argument("--json")
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        raise SystemExit("this needs nginx, a file server that is faster than what is measured (Debian: nginx-light)")
    with tempfile.TemporaryDirectory(dir=options.folder or "/var/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "www").mkdir()
        digest = write_big(folder / "www/big.gguf", options.size << 20)
        with file_server(folder) as files:
            Hub.files, Hub.size, Hub.sha256 = files, options.size << 20, digest
            hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
            threading.Thread(target=hub.serve_forever, daemon=True).start()
            rates, cpu = measure(options, folder, f"http://127.0.0.1:{hub.server_port}", files)
            if options.stream:
                measure_stream(options, folder, f"http://127.0.0.1:{hub.server_port}")
            hub.shutdown()
    for row, rate in rates.items():
        print(f"{row:20} {rate:8.0f} MiB/s   {rate / rates['curl']:.2f} of curl")
    print(f"the daemon's processor time: {cpu:.2f} s per GiB")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"rates": rates, "cpu_seconds_per_gib": cpu}))


if __name__ == "__main__":
    main()
