"""Tiny random models of every architecture that llama.cpp's own test program can write, kept between runs. Each has at
least 128 tokens."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import harness

# One of each kind: dense, mixture of experts, sliding window, latent attention, recurrent, hybrid, parallel residual.
DOZEN = ["llama", "qwen3", "qwen3moe", "gemma3", "gpt-oss", "deepseek2", "mamba2", "jamba", "falcon-h1", "lfm2", "phi3",
         "command-r"]

def models(names=None):
    """Returns name -> file: of all architectures, or of the named ones."""
    program = harness.BIN_DIR / "test-llama-archs"
    status = program.stat()
    chosen = "|".join(re.escape(name) for name in names) if names else ".*"
    key = hashlib.sha256(f"{chosen} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    cache = os.environ.get("MINERVA_CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "minerva"
    folder = pathlib.Path(cache) / "architectures" / key
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            subprocess.run([program, "-s", "1", "-a", f"^({chosen})$", "-o", aside], check=True, capture_output=True)
            try:
                pathlib.Path(aside).rename(folder)
                pathlib.Path(aside).mkdir()  # for the end of the `with`
            except OSError:
                assert folder.exists()  # another process was faster
        # Models of earlier versions of the program.
        for other in folder.parent.iterdir():
            if other != folder and other.stat().st_mtime + 30 * 86400 < folder.stat().st_mtime:
                shutil.rmtree(other, ignore_errors=True)
    return {file.stem: file for file in sorted(folder.iterdir())}
