"""Takes one safeguard away at a time, and sees which test turns red.

    python3 .ci/mutants.py                  do all patches in .ci/mutations still apply?
    python3 .ci/mutants.py --sample 3       try three of those that the table in docs/mutations.md shows as caught,
                                            others for each commit
    python3 .ci/mutants.py --only NAME,...  try these
    python3 .ci/mutants.py --all            try all
    python3 .ci/mutants.py ... --write-docs run both for each, and write the table in docs/mutations.md

A patch begins with lines of its own: `Safeguard:` what it takes away and, where nothing can turn red, `Survives:` why.
Each is applied to a copy of HEAD, and the simulation or the target `rules` is run: first what the table says found it,
then the other if that finds nothing (with --write-docs both). What turns red and is not what the table says, or is not of
a sample, must be green without the patch. Fails where a patch does not apply, does not build, or
turns nothing red. A patch that was never tried, or that nothing finds, is not in the sample: so the gate fails only
where something that was found once is found no more. Results are kept in the target folder from run to run, and
--write-docs writes all; what was not tried keeps its line in the table.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATCHES = ROOT / ".ci" / "mutations"
DOCS = ROOT / "docs" / "mutations.md"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutants"
TREE = TARGET / "tree"
RESULTS = TARGET / "results.json"
BEGIN, END = "<!-- written by .ci/mutants.py: begin -->", "<!-- written by .ci/mutants.py: end -->"
NOT_TRIED, NOTHING = "(not tried when this was written)", "nothing: "
SEEDS = 2000
# A mutant may hang; so may nothing else. Where it seems to, it gets twice the time once more: the machine may have been
# busy.
SIMULATION_SECONDS, RULES_SECONDS = 180, 300
# At 1 here, where building takes longer than running.
LEVELS = [f"--config=profile.test.package.{name}.opt-level=1" for name in ("walden", "walden-sim")]
RULES = ["cargo", "test", "--locked", "-q", *LEVELS, "-p", "walden", "--features", "lz4,zstd", "--test", "rules"]

# As the tests are built, but without what only debuggers need: most of the time goes into building.
ENV = os.environ | {
    "CARGO_TARGET_DIR": str(TARGET / "build"),
    "CARGO_INCREMENTAL": "1",
    "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
    "CARGO_PROFILE_DEV_DEBUG": "0",
    "CARGO_PROFILE_TEST_DEBUG": "0",
    "RUSTFLAGS": os.environ.get("RUSTFLAGS", "") + " --cap-lints allow",
}


class Patch:
    def __init__(self, path):
        self.name = path.stem
        self.path = path
        head = path.read_text().split("\n--- ", 1)[0]
        fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        self.safeguard = fields.get("Safeguard") or sys.exit(f"{path.name} names no safeguard")
        self.survives = fields.get("Survives")
        self.file = re.search(r"^--- a/crates/walden/src/(\S+)", path.read_text(), re.M).group(1)

    def apply(self, *options, tree=TREE):
        command = ["git", "apply", *options, str(self.path)]
        # Outside of any repository, so that paths are those of the copy.
        env = ENV | {"GIT_CEILING_DIRECTORIES": str(TREE.parent)}
        return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)


def patches():
    return [Patch(path) for path in sorted(PATCHES.glob("*.patch"))]


def check_all(found):
    bad = [p.name for p in found if p.apply("--check", tree=ROOT).returncode]
    if bad:
        sys.exit(f"these patches do not apply any more: {', '.join(bad)}")
    print(f"{len(found)} patches apply")


def copy_head():
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    archive = subprocess.Popen(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-m", "-C", str(TREE)], stdin=archive.stdout, check=True)


def run(command, seconds):
    """Exit code and output; the code is None where it took too long."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        command, cwd=TREE, env=ENV, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # What it has started, too: tests that hang would run on beside the next patch.
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return None, ""
    return child.returncode, out + err


def run_twice(command, seconds):
    """As `run`, but what takes too long is tried again."""
    code, out = run(command, seconds)
    return (code, out) if code is not None else run(command, 2 * seconds)


def build(command):
    code, out = run(command, 1800)
    return None if code == 0 else out[-2000:]


def simulate(seeds):
    """What the simulation found, in words."""
    code, out = run_twice([str(TARGET / "build/debug/walden-sim"), "--seeds", str(seeds)], SIMULATION_SECONDS)
    if code is None:
        return "hangs"
    if code == 0:
        return None
    found = re.search(r"^seed (\d+): ([^:]*)", out, re.M)
    return f"{found.group(2)} (seed {found.group(1)})" if found else "fails"


def rules():
    """The tests of the target `rules` that fail."""
    code, out = run_twice(RULES, RULES_SECONDS)
    if code is None:
        return ["hangs"]
    if code == 0:
        return []
    return sorted(set(re.findall(r"^    (\w+(?:::\w+)+)$", out, re.M))) or ["fails"]


def built_and_simulated(name, seeds):
    failed = build(["cargo", "build", "--locked", "-q", "-p", "walden-sim", "--bin", "walden-sim"])
    if failed:
        sys.exit(f"{name} does not build:\n{failed}")
    return simulate(seeds)


def built_and_tested(name):
    failed = build([*RULES, "--no-run"])
    if failed:
        sys.exit(f"the rules do not build with {name}:\n{failed}")
    return rules()


def attempt(patch, seeds, asked):
    """What turns red, of what is asked."""
    begun = time.monotonic()
    name = patch.name if patch else "HEAD"
    applied = patch.apply() if patch else None
    if applied is not None and applied.returncode:
        sys.exit(f"{name} does not apply: {applied.stderr}")
    simulation, tests = None, []
    try:
        for one in asked:
            if one == "rules":
                tests = built_and_tested(name)
            else:
                simulation = built_and_simulated(name, seeds)
    finally:
        if applied is not None:
            patch.apply("-R")
    return {"simulation": simulation, "rules": tests, "took": time.monotonic() - begun}


def questions(shown, both):
    """What is asked until something turns red: first what found it when the table was written, so that mostly nothing else
    need be built. Or both at once, for the table."""
    if both:
        return [["simulation", "rules"]]
    return [["rules"], ["simulation"]] if shown.startswith("`") else [["simulation"], ["rules"]]


def green_without_patch(green, asked, seeds):
    """What would be red anyway tells nothing."""
    untouched = attempt(None, seeds, [one for one in asked if one not in green])
    if cell(untouched):
        sys.exit(f"red without any patch: {cell(untouched)}")
    green.update(asked)


def as_known(result, shown):
    """Whether something turned red that the table names: that it is green without the patch, the gate's own tests and
    simulation tell."""
    tests = set(result["rules"]) - {"hangs", "fails"}
    simulated = (result["simulation"] or "").split(" (seed ")[0]
    return any(f"`{test}`" in shown for test in tests) or (
        simulated not in ("", "hangs", "fails") and f"the simulation: {simulated} (seed " in shown
    )


def load():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def cell(result):
    found = []
    if result["simulation"]:
        found.append(f"the simulation: {result['simulation']}")
    found += [f"`{test}`" for test in result["rules"]]
    return ", ".join(found)


def write_docs(found, results):
    text = DOCS.read_text()
    if BEGIN not in text:
        sys.exit(f"{DOCS.name} has no place for the table")
    shown = shown_in_table()
    lines = [
        BEGIN,
        "",
        "| safeguard (section) | patch, under `.ci/mutations/` | what finds that it is gone |",
        "| --- | --- | --- |",
    ]
    for patch in found:
        result = results.get(patch.name)
        if result is None:
            what = shown.get(patch.name, NOT_TRIED)
        else:
            what = cell(result) or f"{NOTHING}{patch.survives}"
        lines.append(f"| {patch.safeguard} | `{patch.name}` | {what} |")
    table = "\n".join([*lines, "", END])
    before, rest = text.split(BEGIN, 1)
    DOCS.write_text(before + table + rest.split(END, 1)[1])


def shown_in_table():
    """What the table says of each patch, by its name."""
    table = DOCS.read_text().split(BEGIN, 1)[-1].split(END, 1)[0]
    return dict(re.findall(r"^\| .* \| `([a-z-]+)` \| (.*) \|$", table, re.M))


def shown_as_caught():
    """The names of the patches of which the table says what finds them."""
    rows = shown_in_table().items()
    return {name for name, what in rows if what != NOT_TRIED and not what.startswith(NOTHING)}


def choose(found, args):
    if args.only:
        wanted = args.only.split(",")
        unknown = set(wanted) - {patch.name for patch in found}
        if unknown:
            sys.exit(f"there is no patch {', '.join(sorted(unknown))}")
        return [patch for patch in found if patch.name in wanted]
    if args.sample:
        caught = shown_as_caught()
        found = [patch for patch in found if patch.name in caught]
        if not found:
            sys.exit(f"the table in {DOCS.name} shows no patch as caught")
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
        begin = int(head, 16) % len(found)
        # All of one kind: the untouched tree, too, is built and asked for each.
        first = {patch.name: questions(shown_in_table()[patch.name], False)[0] for patch in found}
        ring = found[begin:] + found[:begin]
        return [patch for patch in ring if first[patch.name] == first[ring[0].name]][: args.sample]
    return found if args.all else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, metavar="N")
    parser.add_argument("--only", metavar="NAME,...")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="histories for each")
    parser.add_argument("--write-docs", action="store_true")
    args = parser.parse_args()
    found = patches()
    check_all(found)
    chosen = choose(found, args)
    results, survivors, shown = load(), [], shown_in_table()
    if chosen:
        copy_head()
    green = set()
    for patch in chosen:
        took = 0
        for asked in questions(shown.get(patch.name, ""), args.write_docs):
            result = attempt(patch, args.seeds, asked)
            took = result["took"] = took + result["took"]
            if cell(result):
                if not (args.sample and as_known(result, shown[patch.name])):
                    green_without_patch(green, asked, args.seeds)
                break
        print(f"{patch.name}: {cell(result) or 'NOTHING'} ({result['took']:.0f} s)", flush=True)
        results[patch.name] = result
        RESULTS.write_text(json.dumps(results, indent=1))
        if not cell(result) and not patch.survives:
            survivors.append(patch.name)
    if args.write_docs:
        write_docs(found, results)
    if survivors:
        sys.exit(f"nothing turned red without: {', '.join(survivors)}")


main()
