"""Runs the fuzz targets for long, and writes down what came of it.

    python3 fuzz/long.py --minutes 60 [--targets folder,record] [--evidence docs/evidence/fuzz.json]

Each target gets a first turn; after that, whichever found the most new inputs in its last turn goes on. What is
found is kept in `fuzz/found/TARGET` (not in the repository); `--keep` takes of that, by libFuzzer's merge, what
the stored corpus lacks, the smallest inputs first, up to a limit of bytes.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

FUZZ = pathlib.Path(__file__).resolve().parent
ROOT = FUZZ.parent
TARGETS = ["record", "folder", "index", "manifest", "cursors", "frames", "operations", "consumers", "arguments", "framing"]
# Of one turn: then something is wrong that hides all else.
MOST_FINDINGS = 20
LIMITS = ["-max_len=4096", "-timeout=20", "-rss_limit_mb=1024", "-malloc_limit_mb=256"]


def binary(target, target_dir):
    """Builds a target (without a sanitizer: the crate's code is safe) and says where it is."""
    environment = dict(os.environ, RUSTC_BOOTSTRAP="1")
    build = ["cargo", "fuzz", "build", "--release", "-a", "-s", "none", "--fuzz-dir", str(FUZZ)]
    if target_dir:
        build += ["--target-dir", target_dir]
    subprocess.run([*build, target], check=True, env=environment, cwd=ROOT)
    built = pathlib.Path(target_dir) if target_dir else FUZZ / "target"
    return next(built.glob(f"*/release/{target}"))


def turn(program, target, folder, seconds, seed):
    """One turn, of several runs where one ends with a finding: that tells nothing of what comes behind it."""
    end = time.monotonic() + seconds
    ran = run(program, target, folder, seconds, seed)
    while ran["findings"] and len(ran["findings"]) < MOST_FINDINGS and (left := end - time.monotonic()) > 5:
        more = run(program, target, folder, round(left), seed)
        for key in ("seconds", "executions", "new_inputs", "findings"):
            ran[key] += more[key]
        ran |= {key: max(ran[key], more[key]) for key in ("edges", "features")}
    return ran


def run(program, target, folder, seconds, seed):
    found, artifacts = folder / target, FUZZ / "artifacts" / target
    found.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    before = set(artifacts.iterdir())
    began = time.monotonic()
    # Else the same seed over the same inputs would come to the same finding.
    seed += len(before)
    command = [program, *LIMITS, f"-seed={seed}", f"-max_total_time={seconds}", "-print_final_stats=1"]
    command += [f"-artifact_prefix={artifacts}/", found, FUZZ / "corpus" / target]
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace")
    number = lambda pattern: int((re.findall(pattern, ran.stderr) or [0])[-1])
    findings = sorted(path.name for path in set(artifacts.iterdir()) - before)
    if ran.returncode != 0 and not findings:
        findings = [f"exit code {ran.returncode}"]
    if findings:
        print(ran.stderr[-3000:], file=sys.stderr)
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "executions": number(r"stat::number_of_executed_units: (\d+)"),
        "new_inputs": number(r"stat::new_units_added: +(\d+)"),
        "edges": number(r"cov: (\d+)"),
        "features": number(r"ft: (\d+)"),
        "findings": findings,
    }


def keep(program, target, folder, limit):
    """Adds to the stored corpus what covers more, the smallest inputs first."""
    stored, found = FUZZ / "corpus" / target, folder / target
    with tempfile.TemporaryDirectory() as merged:
        merge = [program, "-merge=1", *LIMITS, merged, stored, found]
        subprocess.run(merge, check=True, capture_output=True)
        shutil.rmtree(stored)
        stored.mkdir()
        size = 0
        for path in sorted(pathlib.Path(merged).iterdir(), key=lambda path: (path.stat().st_size, path.name)):
            size += path.stat().st_size
            if size > limit:
                break
            shutil.copy(path, stored / path.name)


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--turn", type=int, default=120, help="seconds of a turn")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--evidence", type=pathlib.Path)
    parser.add_argument("--keep", type=int, metavar="BYTES", help="for each target")
    parser.add_argument("--found", type=pathlib.Path, default=FUZZ / "found")
    parser.add_argument("--target-dir", default=os.environ.get("CARGO_TARGET_DIR"))
    chosen = parser.parse_args()
    programs = {target: binary(target, chosen.target_dir) for target in chosen.targets.split(",")}
    command = " ".join(["python3 fuzz/long.py", *(a for a in sys.argv[1:] if not a.startswith("--target-dir"))])
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    result = {"command": command, "commit": commit, "started": now(), "targets": {}}
    turns = {target: [] for target in programs}
    end = time.monotonic() + 60 * chosen.minutes
    seed = chosen.seed
    while (left := end - time.monotonic()) > 5:
        waiting = [target for target in programs if not turns[target]]
        promising = max(programs, key=lambda t: turns[t][-1]["new_inputs"] if turns[t] else 0)
        target = waiting[0] if waiting else promising
        turns[target].append(turn(programs[target], target, chosen.found, round(min(left, chosen.turn)), seed))
        print(target, turns[target][-1], flush=True)
        seed += 1
        if chosen.evidence:
            write(chosen.evidence, result, turns)
    if chosen.keep:
        for target, program in programs.items():
            keep(program, target, chosen.found, chosen.keep)
    if chosen.evidence:
        write(chosen.evidence, result, turns)
    sys.exit(any(turn["findings"] for all_of_one in turns.values() for turn in all_of_one))


def write(path, result, turns):
    for target, ran in turns.items():
        if ran:
            stored = list((FUZZ / "corpus" / target).iterdir())
            result["targets"][target] = {
                "seeds": [turn["seed"] for turn in ran],
                "seconds": sum(turn["seconds"] for turn in ran),
                "executions": sum(turn["executions"] for turn in ran),
                "new_inputs": sum(turn["new_inputs"] for turn in ran),
                "edges": ran[-1]["edges"],
                "features": ran[-1]["features"],
                "stored_inputs": len(stored),
                "stored_bytes": sum(path.stat().st_size for path in stored),
                "findings": [finding for turn in ran for finding in turn["findings"]],
            }
    result["ended"] = now()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


main()
