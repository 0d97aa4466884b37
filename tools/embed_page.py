#!/usr/bin/env python3
"""Writes the page's files as a C++ source: each gzipped, with its ETag. Usage: tools/embed_page.py OUTPUT FILE..."""
import gzip
import hashlib
import pathlib
import sys

WIDTH = 4096  # bytes a line


def literal(data):
    """C++ string literals, one per line. Every octal escape has three digits, so that a digit behind it is not part of
    it."""
    lines = (data[at:at + WIDTH] for at in range(0, len(data), WIDTH))
    return "\n".join('    "' + "".join(f"\\{byte:03o}" for byte in line) + '"' for line in lines)


def entry(path):
    content = path.read_bytes()
    packed = gzip.compress(content, 9, mtime=0)
    etag = hashlib.sha256(content).hexdigest()[:32]
    return f'    {{"{path.name}", "\\"{etag}\\"", std::string_view(\n{literal(packed)}, {len(packed)})}},\n'


output, *files = map(pathlib.Path, sys.argv[1:])
text = ('#include "server/page_files.h"\n\n#include <array>\n\nnamespace minerva {\nnamespace {\n\n'
        f"constexpr std::array<PageFile, {len(files)}> kFiles = {{{{\n")
text += "".join(entry(path) for path in sorted(files, key=lambda path: path.name))
text += "}};\n\n}  // namespace\n\nstd::span<const PageFile> page_files() { return kFiles; }\n\n}  // namespace minerva\n"
output.write_text(text)
