"""Damaged files: every reader either reads one or refuses it in words, in little memory, and comes back.

    python tests/long/mutated_files.py --count 3000           # that many over all targets, in equal shares
    python tests/long/mutated_files.py --only hdf5 --count 1 --first 137      # one that failed, again

A target is an entry of a dict ``TARGETS`` in a file ``mutated_*.py`` beside this one, ``name: {...}`` with

- ``make(folder)``: writes a sound file, and what its reader needs beside it, and returns its path;
- ``read(path)``: reads it as a user would; must succeed on the sound file;
- ``allowed``: the exceptions that may come of a damaged one;
- ``pack(data)``, where there is one: what turns the damaged bytes into the file (a compression whose checksum would
  otherwise be all that is tested). ``make`` then writes the file before it is packed.

Mutation k of a target is a function of (seed, name, k). Batches of them run in a process of their own, under a limit of
memory beyond what reading the sound file took. A process that dies is started again behind the file that killed it.
"""

import argparse
import collections
import importlib.util
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
GROWTH = 512 * 2**20  # bytes of address space beyond those of a process that has read the sound file
# for one file: a loop takes the first, a wait for something the second; a busy machine neither
CPU_SECONDS, SECONDS = 20, 300
BATCH = 400
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def targets(folder=HERE):
    """Return {name: target} of all files beside this one that have targets."""
    found = {}
    for path in sorted(folder.glob("mutated_*.py")):
        if path == HERE / "mutated_files.py":
            continue
        specification = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        found.update(module.TARGETS)
    return found


# --------------------------------------------------------------------------------------------------- how files break


def flip(data, draw):
    for _ in range(draw.choice((1, 1, 4, 16))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def replace_bytes(data, draw):
    for _ in range(draw.choice((1, 1, 4))):
        data[draw.randrange(len(data))] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))


def number(data, draw):
    """A field of 1 to 8 bytes gets a value at which programs break, in either byte order."""
    size = draw.choice((1, 2, 4, 8))
    place = draw.randrange(max(1, len(data) - size + 1))
    value = draw.choice(NUMBERS) % 2 ** (8 * size)
    data[place : place + size] = value.to_bytes(size, draw.choice(("little", "big")))[: len(data) - place]


def cut(data, draw):
    del data[draw.randrange(len(data)) :]


def zero(data, draw):
    start, stop = _block(data, draw)
    data[start:stop] = bytes(stop - start)


def remove(data, draw):
    start, stop = _block(data, draw)
    del data[start:stop]


def double(data, draw):
    start, stop = _block(data, draw)
    data[start:start] = data[start:stop]


def insert(data, draw):
    place = draw.randrange(len(data) + 1)
    data[place:place] = draw.randbytes(draw.choice((1, 2, 4, 64)))


def swap(data, draw):
    """Two fields of the same size change places."""
    size = draw.choice((1, 2, 4, 8, 16))
    if len(data) < 2 * size:
        return
    first, second = sorted(draw.randrange(len(data) // size) * size for _ in range(2))
    if first + size <= second and second + size <= len(data):
        one, other = data[first : first + size], data[second : second + size]
        data[first : first + size], data[second : second + size] = other, one


def _block(data, draw):
    start = draw.randrange(len(data))
    return start, min(len(data), start + draw.choice((1, 4, 16, 64, 512, 4096)))


KINDS = (flip, flip, replace_bytes, number, number, cut, zero, remove, double, insert, swap)


def mutated(image, seed, name, k):
    """Return the bytes of mutation ``k``: one to three faults, none of which is undone."""
    draw, data = random.Random(f"{seed}/{name}/{k}"), bytearray(image)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if data:
            draw.choice(KINDS)(data, draw)
    return bytes(data)


# ------------------------------------------------------------------------------------------------ in its own process


def say(**facts):
    print(json.dumps(facts), flush=True)


def child(name, seed, first, stop, cpu_seconds, beside):
    """Read mutations ``first`` to ``stop - 1`` of a target; say what came of each on a line of its own."""
    target, folder = targets(pathlib.Path(beside))[name], pathlib.Path.cwd()
    path = target["make"](folder)
    sound = {item: item.read_bytes() for item in folder.rglob("*") if item.is_file()}
    pack = target.get("pack", bytes)
    path.write_bytes(pack(sound[path]))
    target["read"](path)
    taken = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + GROWTH, taken + GROWTH))
    for k in range(first, stop):
        say(k=k)
        restore(folder, sound)
        path.write_bytes(pack(mutated(sound[path], seed, name, k)))
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        signal.alarm(SECONDS)
        say(k=k, outcome=outcome(target, path))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def restore(folder, sound):
    """Make the folder hold the sound files and nothing else: a reader may put aside what it cannot read."""
    for item in folder.iterdir():
        shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
    for item, data in sound.items():
        item.parent.mkdir(parents=True, exist_ok=True)
        item.write_bytes(data)


def outcome(target, path):
    """Return "read", "refused", or what went wrong."""
    try:
        target["read"](path)
    except MemoryError:
        return "memory: MemoryError"
    except Exception as error:
        if out_of_memory(error):
            return f"memory: {type(error).__name__} after a MemoryError"
        return "refused" if isinstance(error, target["allowed"]) else f"raw: {type(error).__name__}: {error}"
    return "read"


def out_of_memory(error):
    """Whether an exception hides a MemoryError."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


# --------------------------------------------------------------------------------------------------------- all of it


def run(name, count, seed=0, first=0, cpu_seconds=CPU_SECONDS, beside=HERE):
    """Return {k: outcome} of ``count`` mutations of a target in one of the files in the folder ``beside``."""
    found, stop = {}, first + count
    while first < stop:
        end = min(stop, first + BATCH)
        with tempfile.TemporaryDirectory() as scratch:
            what = json.dumps([name, seed, first, end, cpu_seconds, str(beside)])
            command = [sys.executable, __file__, "--child", what]
            root = os.pathsep.join((str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")))
            environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            ended = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
        lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        found.update({line["k"]: line["outcome"] for line in lines if "outcome" in line})
        if ended.returncode == 0:
            first = end
            continue
        if not lines:
            raise RuntimeError(f"{name}: the sound file was not read: {ended.stderr[-2000:]}")
        first = lines[-1]["k"] + 1
        found[first - 1] = how_it_ended(ended)
    return found


def how_it_ended(ended):
    if ended.returncode in (-signal.SIGPROF, -signal.SIGALRM):
        return "hang"
    if ended.returncode < 0:
        return f"crash: {signal.Signals(-ended.returncode).name}"
    return f"crash: {ended.stderr[-300:]}"


def failures(found):
    """Return {k: outcome} of the mutations that were neither read nor refused."""
    return {k: text for k, text in found.items() if text not in ("read", "refused")}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3000, help="mutations over all targets that are run")
    parser.add_argument("--only", nargs="+", help="names of targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation of each")
    arguments = parser.parse_args(argv)
    chosen = arguments.only or list(targets())
    share, failed = -(-arguments.count // len(chosen)), 0
    for name in chosen:
        found = run(name, share, arguments.seed, arguments.first)
        wrong = failures(found)
        failed += len(wrong)
        counts = collections.Counter(found.values())
        print(f"{name:<24}{len(found):>6} files: {counts['read']} read, {counts['refused']} refused, {len(wrong)} not")
        for k, text in sorted(wrong.items()):
            print(f"    --only {name} --first {k} --count 1   {text[:300]}")
    print(f"{share * len(chosen)} mutated files, {failed} failures")
    return failed == 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*json.loads(sys.argv[2]))
    else:
        sys.exit(not main())
