"""Answers the gate's questions about the workspace, one name a line."""

import json
import subprocess
import sys


def packages():
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    return json.loads(subprocess.check_output(command))["packages"]


def has(package, kind):
    return any(kind in target["kind"] for target in package["targets"])


def all_on(package):
    """Whether tests of the whole workspace switch on each feature of a package, as some member wants it."""
    command = ["cargo", "tree", "--locked", "--workspace", "-e", "features,normal,dev", "-i", package["name"]]
    tree = subprocess.check_output(command, text=True)
    return all(f'{package["name"]} feature "{feature}"' in tree for feature in package["features"])


def main(question, name=None):
    found = [p for p in packages() if name in (None, p["name"])]
    if question == "libraries":
        return [p["name"] for p in found if has(p, "lib") and p["publish"] != []]
    if question == "features":
        return [feature for p in found for feature in sorted(p["features"]) if feature != "default"]
    if question == "partial":
        return [p["name"] for p in found if has(p, "lib") and p["publish"] != [] and not all_on(p)]
    if question == "examples":
        return [
            f"{p['name']} {target['name']}"
            for p in found
            for target in p["targets"]
            if "example" in target["kind"]
        ]
    if question == "has-binary":
        sys.exit(not any(has(p, "bin") for p in found))
    if question == "private":
        return [p["name"] for p in found if p["publish"] == []]
    if question == "public":
        return [p["name"] for p in found if p["publish"] != []]
    if question == "oldest-rust":
        versions = {p["rust_version"] for p in found}
        if len(versions) != 1 or None in versions:
            sys.exit(f"the crates do not agree on one rust-version: {versions}")
        return versions
    sys.exit(f"unknown question: {question}")


for line in main(*sys.argv[1:]):
    print(line)
