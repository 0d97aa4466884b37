"""A small server that speaks like OpenAI's, for the tests of command engines.

usage: openai_like.py --port N | --socket PATH  [--wait-for FILE] [--ignore-term] [--child FILE]

The content of the last message chooses the answer. "error": a refusal. "die": the server ends. "body": the request's body
as it came. "hold FILE": a stream that goes on once FILE exists. "break": a stream that ends with an error like llama.cpp's.
Anything else is repeated word by word. A body without messages is repeated too, with its path; of a GET only the path is
repeated. "/redirect" redirects, sets a cookie, and says which cookie came.
"""
import argparse
import http.server
import json
import os
import pathlib
import signal
import socketserver
import subprocess
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "client"

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Set-Cookie", "minerva_session=mine")
            self.send_header("x-seen-cookie", self.headers["Cookie"] or "none")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        ready = options.wait_for is None or options.wait_for.exists()
        self.answer(200 if ready else 503, {"ready": ready, "method": self.command, "path": self.path})

    do_DELETE = do_GET

    def read_body(self):
        """The body as it came, in one piece or chunked."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_PUT(self):
        body = self.read_body()
        self.answer(200, {"method": self.command, "path": self.path, "body": body.decode(errors="replace"), "bytes": len(body)})

    do_PATCH = do_PUT

    def do_POST(self):
        body = self.read_body()
        raw = body.decode(errors="replace")
        if "/chat/" not in self.path and "/messages" not in self.path:
            return self.answer(200, {"path": self.path, "body": raw, "bytes": len(body)})
        body = {} if (self.headers["Content-Type"] or "").startswith("multipart/") else json.loads(raw)
        text = body["messages"][-1]["content"] if "messages" in body else "body"
        if text == "error":
            return self.answer(418, {"detail": "I am a teapot"})
        if text == "die":
            print("error: told to die", file=sys.stderr, flush=True)
            os._exit(3)
        if text == "body":
            text = raw
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            return self.answer(200, {"model": body.get("model"), "choices": [{"index": 0, "message": message}]})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        if text == "break":
            error = {"code": 500, "message": "told to break", "type": "server_error"}
            self.wfile.write(b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n")
            self.close_connection = True
            return None
        for word in text.split():
            self.event({"choices": [{"index": 0, "delta": {"content": word}}]})
            if word == "hold":
                file = pathlib.Path(text.split()[1])
                while not file.exists():
                    time.sleep(0.01)
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True
        return None

    def event(self, chunk):
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--socket")
parser.add_argument("--wait-for", type=pathlib.Path)
parser.add_argument("--ignore-term", action="store_true")
parser.add_argument("--child", type=pathlib.Path)
options = parser.parse_args()
if options.ignore_term:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if options.child:
    # The child leaves the group and the session, as a daemon does.
    child = subprocess.Popen(["sleep", "100000"], start_new_session=True)
    options.child.write_text(str(child.pid))
if options.socket:
    server = UnixServer(options.socket, Handler)
else:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
print("serving", os.environ.get("GREETING", ""), flush=True)
server.serve_forever()
