"""docs/openapi.yaml documents every route of the route table, and no other."""
import re

import harness
from test_route_matrix import route_table


def documented():
    """Returns (method, path) -> the lines of the operation, and path -> the path that it only refers to. The file keeps to
    one layout: paths are indented by 2 spaces, methods by 4."""
    text = (harness.ROOT / "docs/openapi.yaml").read_text()
    paths = text.split("\npaths:\n", 1)[1].split("\ncomponents:\n", 1)[0]
    operations, aliases, path, lines = {}, {}, None, None
    for line in paths.splitlines():
        if match := re.fullmatch(r"  (/\S*): {\$ref: '#/paths/(\S+)'}", line):
            aliases[match[1]] = match[2].replace("~1", "/")
        elif match := re.fullmatch(r"  (/\S*):", line):
            path = match[1]
        elif match := re.fullmatch(r"    (get|post|delete|put|patch|head|options):", line):
            lines = operations.setdefault((match[1].upper(), path), [])
        else:
            assert line.startswith("      "), f"not in the layout of the file: {line!r}"
            lines.append(line.strip())
    return operations, aliases


def test_routes_and_documentation_are_the_same():
    table = {(route["method"], route["path"]): route for route in route_table()}
    operations, aliases = documented()
    # A path that means the same as another one is a single line, which names the other one.
    # A path that means the same for one method only has its own documentation.
    own = {path for (_, path), route in table.items() if not route["same_as"]}
    assert {path: route["same_as"] for (_, path), route in table.items() if route["same_as"] and path not in own} == aliases
    for alias, path in aliases.items():
        assert {m for m, p in table if p == alias} == {m for m, p in table if p == path}, alias
    table = {key: route for key, route in table.items() if key[1] not in aliases}
    assert sorted(table) == sorted(operations)
    for key, route in table.items():
        lines = operations[key]
        assert ("security: []" in lines) == route["open"], key
        assert any(line.startswith("summary: ") for line in lines), key
        assert ("'401': {$ref: '#/components/responses/unauthorized'}" in lines) != route["open"], key
        assert ("multipart/form-data:" in lines) == route["takes_form"], key
        assert ("- $ref: '#/components/parameters/model'" in lines) == ("{id}" in route["path"] and "/downloads/" not in route["path"] and "/requests/" not in route["path"]), key
    text = (harness.ROOT / "docs/openapi.yaml").read_text()
    for kind, name in set(re.findall(r"#/components/(\w+)/(\w+)", text)):
        section = text.split(f"\n  {kind}:\n", 1)[1]
        assert re.search(rf"^    {name}:", section, re.M), f"{kind}/{name} is referred to and not there"
