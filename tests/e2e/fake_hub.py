"""A model hub on loopback: the routes of the real hub that a pull uses, its header fields, its redirects to signed
addresses on a second port, which expire, and its refusals. A test asks for faults; each fault happens once.

test_pull_hub_client.py checks it with the real huggingface_hub: a pull has to accept whatever that library accepts.
"""
import contextlib
import functools
import hashlib
import http.server
import itertools
import json
import ssl
import threading
import urllib.parse

COMMIT = "c0ffee" + "0" * 34


@functools.lru_cache(maxsize=64)
def sha256(data):
    return hashlib.sha256(data).hexdigest()


@functools.lru_cache(maxsize=64)
def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """`repos`: "org/repo" -> {path: bytes}. Files *.gguf are in LFS; other files are in git."""

    def __init__(self, repos, commit=COMMIT, token=None, gated=(), page=1000, certificate=None):
        self.repos = repos
        self.commit = commit
        self.token = token  # required by every request
        self.gated = set(gated)  # repositories whose licence nobody has accepted
        self.page = page  # entries of a page of a tree
        self.requests = []      # (server, method, path, headers)
        self.faults = {}  # path of a file -> faults to come, see serve_file()
        self.api_faults = []  # (status, headers) of the next answers of the API
        self.lock = threading.Lock()
        self.signatures = set()
        self.numbers = itertools.count()
        self.stalled = threading.Event()  # set when a fault "stall" is reached
        self.release = threading.Event()  # ends stalls
        self.scheme = "https" if certificate else "http"
        self.servers = []
        for name in ("hub", "cdn"):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self, "name": name}))
            server.daemon_threads = True
            if certificate:  # and its key: files
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*certificate)
                # The handshake is the connection's own thread's, at its first read: a bad one must not end accept().
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            self.servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.servers[0].server_port}"

    @property
    def cdn(self):
        return f"{self.scheme}://127.0.0.1:{self.servers[1].server_port}"

    def fault(self, path, *faults):
        self.faults.setdefault(path, []).extend(faults)

    def next_fault(self, path, step):
        with self.lock:
            waiting = self.faults.get(path, [])
            if waiting and STEPS.get(waiting[0][0], "content") == step:
                return waiting.pop(0)
        return None

    def count(self, server, method, part=""):
        return sum(1 for s, m, path, _ in self.requests if s == server and m == method and part in path)

    def sent_tokens(self, server):
        return [headers["authorization"] for s, _, _, headers in self.requests if s == server and "authorization" in headers]

    def close(self):
        self.release.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


# Where a fault happens: at the HEAD or GET of a file at the hub. All other faults are in the content.
STEPS = {"status": "HEAD", "etag": "HEAD", "size": "HEAD", "replace": "HEAD", "redirect": "GET"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None
    name = None

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle(self):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        with hub.lock:
            hub.requests.append((self.name, self.command, self.path, headers))
        path, _, query = self.path.partition("?")
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        if self.name == "cdn":
            return self.signed(parts, urllib.parse.parse_qs(query))
        if hub.token and headers.get("authorization") != f"Bearer {hub.token}":
            return self.answer(401, b"{}", [("X-Error-Code", "RepoNotFound"), ("X-Error-Message", "not found")])
        if parts[:2] == ["api", "models"] and len(parts) >= 5:
            return self.api("/".join(parts[2:4]), parts[4:], urllib.parse.parse_qs(query))
        if len(parts) >= 5 and parts[2] == "resolve":
            return self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self.answer(404, b"{}")

    def missing(self, code):
        return self.answer(404, b"{}", [("X-Error-Code", code), ("X-Error-Message", "not here")])

    def api(self, repo, rest, query):
        hub = self.hub
        with hub.lock:
            fault = hub.api_faults.pop(0) if hub.api_faults else None
        if fault:
            return self.answer(fault[0], b"{}", list(fault[1].items()))
        if repo not in hub.repos:
            return self.missing("RepoNotFound")
        files = sorted(hub.repos[repo].items())
        if rest[0] == "revision" and rest[1] in ("main", hub.commit):
            facts = {"id": repo, "modelId": repo, "sha": hub.commit, "private": False, "disabled": False, "downloads": 0,
                     "likes": 0, "tags": ["gguf", "license:apache-2.0"], "gated": "auto" if repo in hub.gated else False,
                     "cardData": {"license": "apache-2.0"}, "siblings": [{"rfilename": name} for name, _ in files]}
            return self.answer(200, json.dumps(facts).encode(), [("Content-Type", "application/json")])
        if rest[0] == "tree" and rest[1] in ("main", hub.commit):
            first = int(query.get("cursor", ["0"])[0])
            entries = [self.entry(name, data) for name, data in files[first:first + hub.page]]
            headers = [("Content-Type", "application/json")]
            if first + hub.page < len(files):
                more = f"{hub.url}/api/models/{repo}/tree/{rest[1]}?recursive=true&cursor={first + hub.page}"
                headers.append(("Link", f'<{more}>; rel="next"'))
            return self.answer(200, json.dumps(entries).encode(), headers)
        return self.missing("RevisionNotFound")

    @staticmethod
    def entry(name, data):
        entry = {"type": "file", "oid": git_blob(data), "size": len(data), "path": name}
        if name.endswith(".gguf"):
            entry["oid"] = git_blob(f"pointer of {name}".encode())
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
        return entry

    def resolve(self, repo, revision, path):
        hub = self.hub
        if repo in hub.gated:
            return self.answer(403, b"{}", [("X-Error-Code", "GatedRepo"), ("X-Error-Message", "accept the licence")])
        data = hub.repos.get(repo, {}).get(path)
        if data is None:
            return self.missing("EntryNotFound")
        if revision not in ("main", hub.commit):
            return self.missing("RevisionNotFound")
        headers = [("X-Repo-Commit", hub.commit), ("Accept-Ranges", "bytes")]
        if not path.endswith(".gguf"):
            return self.content(data, path, [*headers, ("ETag", f'"{git_blob(data)}"')])
        fault = hub.next_fault(path, self.command)
        if fault and fault[0] == "replace":
            data = hub.repos[repo][path] = fault[1]
        etag, size = sha256(data), len(data)
        if fault:
            if fault[0] == "status":
                return self.answer(fault[1], b"{}", list(fault[2].items()))
            if fault[0] == "etag":
                etag = fault[1]
            if fault[0] == "size":
                size = fault[1]
        signature = f"sig{next(hub.numbers)}"
        with hub.lock:
            hub.signatures.add(signature)
        location = f"{hub.cdn}/{repo}/{path}?signature={signature}"
        if fault and fault[0] == "redirect":
            location = fault[1]
        return self.answer(302, b"", [*headers, ("X-Linked-Etag", f'"{etag}"'), ("X-Linked-Size", str(size)),
                                      ("X-Xet-Hash", "f" * 64), ("Location", location)])

    def signed(self, parts, query):
        hub = self.hub
        if parts == ["loop"]:
            return self.answer(302, b"", [("Location", f"{hub.cdn}/loop")])
        if parts[0] == "files":
            data = hub.repos["files"].get(parts[1])
            return self.answer(404) if data is None else self.content(data, parts[1], [("ETag", f'"{sha256(data)[:8]}"')])
        signature = query.get("signature", [""])[0]
        with hub.lock:
            ended = signature not in hub.signatures
            hub.signatures.discard(signature)  # each signature is good for one request
        if ended:
            return self.answer(403, b"<Error>the signature has ended</Error>")
        data = hub.repos["/".join(parts[:2])]["/".join(parts[2:])]
        # The ETag of the content server differs from the linked one.
        return self.content(data, "/".join(parts[2:]), [("ETag", '"of-the-cdn"'), ("Accept-Ranges", "bytes")])

    def content(self, data, path, headers):
        fault = self.hub.next_fault(path, "content") if self.command == "GET" else None
        kind = fault[0] if fault else None
        if kind == "answer":  # (status, headers)
            return self.answer(fault[1], b"", list(fault[2].items()))
        if kind == "wrong":  # the same number of other bytes
            data = bytes(len(data))
        first, end = 0, len(data)
        status = 200
        wanted = self.headers.get("Range")
        if wanted and kind != "no ranges":
            begin, _, last = wanted.removeprefix("bytes=").partition("-")
            first, end = int(begin), min(int(last) + 1 if last else end, end)
            if first >= len(data):
                return self.answer(416, b"", [("Content-Range", f"bytes */{len(data)}")])
            status = 206
            headers = [*headers, ("Content-Range", f"bytes {first}-{end - 1}/{len(data)}")]
        body = data[first:end]
        if kind == "shorter":  # with the shorter length in its head
            body = body[:fault[1]]
        if kind == "longer":
            body = body + bytes(fault[1])
        if kind not in ("cut", "stall", "hold"):
            return self.answer(status, body, headers)
        # Promises all bytes, and sends only some.
        self.answer(status, body[:fault[1]], [*headers, ("Content-Length", str(len(body)))])
        self.wfile.flush()
        if kind != "cut":
            self.hub.stalled.set()
            self.hub.release.wait(60)
        if kind == "hold":  # waits, and then sends the rest
            return self.wfile.write(body[fault[1]:])
        self.close_connection = True


@contextlib.contextmanager
def running(*args, **kwargs):
    hub = Hub(*args, **kwargs)
    try:
        yield hub
    finally:
        hub.close()
