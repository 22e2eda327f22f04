"""Holds the dependencies against deny.toml where cargo-deny is not installed.

Reads of it: `licenses.allow`, `bans.multiple-versions` with its skip list, `bans.wildcards`,
`sources` and `graph.exclude`. Yanked crates and advisories need the network and cargo-deny itself.
"""

import json
import re
import subprocess
import sys
import tomllib

REGISTRIES = ("registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/")


def allowed(expression, licences):
    """Whether an SPDX expression can be met with `licences`."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def term():
        nonlocal at
        token = tokens[at]
        at += 1
        if token == "(":
            met = either()
            at += 1
            return met
        if tokens[at : at + 1] == ["WITH"]:
            token = f"{token} WITH {tokens[at + 1]}"
            at += 2
        return token in licences

    def both():
        nonlocal at
        met = term()
        while tokens[at : at + 1] == ["AND"]:
            at += 1
            met = term() and met
        return met

    def either():
        nonlocal at
        met = both()
        while tokens[at : at + 1] == ["OR"]:
            at += 1
            met = both() or met
        return met

    return either()


def reached(metadata, excluded):
    """The packages that the members need, but for what only excluded members need."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    waiting = [i for i in metadata["workspace_members"] if packages[i]["name"] not in excluded]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += nodes[node]["dependencies"]
    return [packages[i] for i in seen]


def complaints(rules, metadata):
    found = reached(metadata, set(rules.get("graph", {}).get("exclude", [])))
    licences = set(rules["licenses"]["allow"])
    for package in found:
        name = f"{package['name']} {package['version']}"
        if not package["license"] or not allowed(package["license"], licences):
            yield f"{name}: licence {package['license']} is not on the list"
        if package["source"] and not package["source"].startswith(REGISTRIES):
            yield f"{name}: comes from {package['source']}"
        if package["source"] is None:
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and not dependency.get("path"):
                    yield f"{name}: takes any version of {dependency['name']}"
    skipped = {re.split("[@:]", skip["crate"])[0] for skip in rules["bans"].get("skip", [])}
    versions = {}
    for package in found:
        versions.setdefault(package["name"], set()).add(package["version"])
    for name, several in versions.items():
        if len(several) > 1 and name not in skipped:
            yield f"{name}: in several versions, {', '.join(sorted(several))}"
    for name in skipped - {name for name, several in versions.items() if len(several) > 1}:
        yield f"{name}: on the skip list, and not there twice"


def main():
    assert allowed("MIT/Apache-2.0", {"MIT"})
    assert allowed("(MIT OR X) AND Y", {"MIT", "Y"}) and not allowed("(MIT OR X) AND Y", {"MIT"})
    assert allowed("A WITH E OR B", {"A WITH E"}) and not allowed("A WITH E", {"A"})
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    metadata = json.loads(subprocess.check_output(command))
    wrong = sorted(complaints(rules, metadata))
    if wrong:
        sys.exit("\n".join(wrong))
    print("licences, versions and sources are as deny.toml wants them")


main()
