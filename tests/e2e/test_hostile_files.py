"""Damaged and malicious model files end in an answer: never in a hang, never in exhausted memory."""
import concurrent.futures
import json
import os
import random
import signal
import struct
import subprocess

import pytest

import harness

SEED = int(os.environ.get("MINERVA_HOSTILE_SEED", "7"))
# The loader may die of these files: then a sandboxed child dies, and the daemon refuses the model.
CRASHES = {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL, -signal.SIGXCPU}
MOST_RESIDENT_KIB = 4 << 20  # the limit for an inspection


def inspect(file):
    """Runs an inspection as the daemon does. Returns (exit code, answer, peak memory in KiB)."""
    process = subprocess.Popen([harness.ENGINE, "inspect", file, "-fit", "off", "-c", "512"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env={"MINERVA_SANDBOX": "required", "MINERVA_SANDBOX_PATHS": f"read {file}\n"})
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    return process.returncode, output, usage.ru_maxrss


def judge(name, file):
    code, output, resident = inspect(file)
    assert resident < MOST_RESIDENT_KIB, (name, resident)
    if code in CRASHES:
        return "crash"
    assert code in (0, 1), (name, code, output)
    answer = json.loads(output)
    if code == 0:
        assert answer["memory"]["total_bytes"] > 0, (name, answer)
        return "harmless"
    assert len(answer["error"]) > 10 and "std::" not in answer["error"], (name, answer)
    return "refused"


# ---- damage ----

def header_end(data):
    """About where the tensors' data begin: after the last name of a tensor."""
    return data.rindex(b"output_norm.weight") + 64 if b"output_norm.weight" in data else len(data) // 2


def mutations(whole):
    """Yields (name, bytes): a few hundred, the same for the same seed."""
    generator = random.Random(SEED)
    head = header_end(whole)
    offsets = [0, 1, 3, 4, 7, 8, 12, 16, 20, 23, 24, 25, 31, 32]
    offsets += [generator.randrange(33, 400) for _ in range(40)]
    offsets += [generator.randrange(400, head) for _ in range(30)]
    offsets += [generator.randrange(head, len(whole)) for _ in range(16)]
    for offset in offsets:
        yield f"truncated at {offset}", whole[:offset]
    for i in range(200):
        data = bytearray(whole)
        # Most keys of the architecture are near the start, the tensors' shapes near the end of the head.
        for _ in range(generator.choice([1, 1, 2, 8, 64])):
            at = generator.choice([generator.randrange(4, 600), generator.randrange(head - 2000, head),
                                   generator.randrange(4, head)])
            data[at] ^= 1 << generator.randrange(8)
        yield f"flipped bits, number {i}", bytes(data)
    for i in range(40):
        data = bytearray(whole)
        at = generator.choice([8, 16, generator.randrange(24, 600), generator.randrange(head - 2000, head)])
        value = generator.choice([0, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1])
        data[at:at + 8] = struct.pack("<Q", value)
        yield f"huge number {value} at {at}, number {i}", bytes(data)


def test_damaged_files(models, tmp_path):
    def run(mutation):
        name, data = mutation
        file = tmp_path / f"{abs(hash(name))}.gguf"
        file.write_bytes(data)
        try:
            return judge(f"seed {SEED}: {name}", file)
        finally:
            file.unlink()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, mutations(models["a"].read_bytes())))
    assert len(results) == 340
    assert results.count("refused") > 150, results
    print({result: results.count(result) for result in set(results)})


# ---- malice ----

UINT32, STRING, ARRAY = 4, 8, 9


def text(value):
    return struct.pack("<Q", len(value)) + value


def gguf(keys=b"", n_keys=None, tensors=b"", n_tensors=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys if n_keys is not None else 0) + keys + tensors


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def tensor(name, shape, kind=0, offset=0):
    return text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}q", *shape) + struct.pack(
        "<IQ", kind, offset)


ARCHITECTURE = key(b"general.architecture", STRING, text(b"llama"))


def nested_arrays(depth):
    return key(b"x", ARRAY, struct.pack("<IQ", ARRAY, 1) * depth + struct.pack("<IQ", UINT32, 0))


MALICE = {
    "as many keys as there are numbers": gguf(n_keys=2**64 - 1),
    "a great many keys": gguf(keys=ARCHITECTURE, n_keys=2**40),
    "a great many tensors": gguf(keys=ARCHITECTURE, n_keys=1, n_tensors=2**40),
    "a negative number of tensors": gguf(keys=ARCHITECTURE, n_keys=1, n_tensors=2**63),
    "an endless name": gguf(keys=struct.pack("<Q", 2**62) + b"x", n_keys=1),
    "an endless text": gguf(keys=text(b"general.architecture") + struct.pack("<IQ", STRING, 2**62), n_keys=1),
    "a text of 3 GB that is not there": gguf(keys=text(b"x") + struct.pack("<IQ", STRING, 3 << 30), n_keys=1),
    "an endless array": gguf(keys=key(b"x", ARRAY, struct.pack("<IQ", UINT32, 2**62)), n_keys=1),
    "an array that overflows": gguf(keys=key(b"x", ARRAY, struct.pack("<IQ", UINT32, 2**61 + 1)), n_keys=1),
    "an array of 3 GB that is not there": gguf(keys=key(b"x", ARRAY, struct.pack("<IQ", UINT32, 3 << 28)), n_keys=1),
    "an array of a billion texts": gguf(keys=key(b"x", ARRAY, struct.pack("<IQ", STRING, 10**9)), n_keys=1),
    "arrays in arrays": gguf(keys=nested_arrays(100_000), n_keys=1),
    "a type nobody knows": gguf(keys=key(b"x", 77, b"\0" * 8), n_keys=1),
    "an absurd tensor": gguf(keys=ARCHITECTURE, n_keys=1, tensors=tensor(b"t", [2**62, 2, 2, 2]), n_tensors=1),
    "a tensor with a negative side": gguf(keys=ARCHITECTURE, n_keys=1, tensors=tensor(b"t", [-1, 4]), n_tensors=1),
    "a tensor of 200 dimensions": gguf(keys=ARCHITECTURE, n_keys=1, tensors=tensor(b"t", [1] * 200), n_tensors=1),
    "a tensor beyond the file": gguf(keys=ARCHITECTURE, n_keys=1, tensors=tensor(b"t", [64, 64], offset=2**62),
                                     n_tensors=1),
    "the same key twice": gguf(keys=ARCHITECTURE * 2, n_keys=2),
    "a version of the future": gguf(version=2**31),
    "the other byte order": gguf(version=3 << 24),
    "an alignment of zero": gguf(keys=ARCHITECTURE + key(b"general.alignment", UINT32, struct.pack("<I", 0)), n_keys=2),
    "an unknown architecture": gguf(keys=key(b"general.architecture", STRING, text(b"\x1b[2J\xff" * 50)), n_keys=1),
    "parts that are not there": gguf(keys=ARCHITECTURE + key(b"split.count", 2, struct.pack("<H", 65535)), n_keys=2),
}


@pytest.mark.parametrize("name", MALICE)
def test_malicious_files(name, tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(MALICE[name])
    assert judge(name, file) in ("refused", "crash")


def test_shapes_that_ask_for_everything(models, tmp_path):
    """Complete models with absurd figures: they are refused, or at least their memory is reported."""
    whole = models["a"].read_bytes()
    for name in (b"llama.block_count", b"llama.context_length", b"llama.embedding_length",
                 b"llama.attention.head_count", b"llama.rope.dimension_count"):
        for value in (0, 1, 2**20, 2**31 - 1, 2**32 - 1):
            at = whole.index(name) + len(name) + 4
            data = whole[:at] + struct.pack("<I", value) + whole[at + 4:]
            file = tmp_path / "model.gguf"
            file.write_bytes(data)
            judge(f"{name.decode()} = {value}", file)


def test_the_daemon_stays_well(serve, models, tmp_path):
    """The same over HTTP: each gets a 422 with a reason, and a good model goes on."""
    files = {"a": models["a"]}
    for i, name in enumerate(sorted(MALICE)[:8]):
        files[f"bad{i}"] = tmp_path / f"bad{i}"
        files[f"bad{i}"].write_bytes(MALICE[name])
    m = serve(models=files)
    m.use("a")
    for name in files:
        if name != "a":
            answer = m.load(name)
            assert answer.status == 422 and answer.error["code"] == "invalid_model", (name, answer)
    assert m.chat("a").headers["x-minerva-cache"] == "hit"
