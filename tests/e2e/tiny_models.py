"""The generated models and pictures for tests and campaigns; the models are kept between runs."""
import hashlib
import os
import pathlib
import struct
import subprocess
import tempfile
import zlib

import harness

TINY = {
    "a": ["--seed", "1"],
    "b": ["--seed", "2"],
    "c": ["--seed", "3"],
    "d": ["--seed", "4"],
    "e": ["--arch", "bert"],
}
# Large enough that tests can meet a load, a prefill and an answer while they are under way: 0.1 billion parameters.
SLOW = ["--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0"]


def png(red, green, blue, side=32):
    """A picture of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([red, green, blue]) * side) * side
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def generate(name, options, parts=1):
    """A model file, generated once for each set of make_gguf's options. Of several parts it is the first."""
    program = harness.BIN_DIR / "make_gguf"
    folder = pathlib.Path(os.environ.get("MINERVA_E2E_MODELS", harness.ROOT / "build/e2e-models"))
    folder.mkdir(parents=True, exist_ok=True)
    status = program.stat()
    key = hashlib.sha256(repr((options, status.st_size, status.st_mtime_ns)).encode()).hexdigest()[:12]
    suffix = f"-00001-of-{parts:05}" if parts > 1 else ""
    file = folder / f"{name}-{key}{suffix}.gguf"
    if not file.exists():
        # Several tests may run at once: so the file is written aside, and then renamed.
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            made = pathlib.Path(aside) / f"{name}.gguf"
            subprocess.run([program, made, *options], check=True, capture_output=True)
            # The file that others look for comes last.
            for written in sorted(pathlib.Path(aside).iterdir(), reverse=True):
                written.rename(folder / written.name.replace(name, f"{name}-{key}", 1))
    return file
