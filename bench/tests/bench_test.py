"""The bench as a program. usage: bench_test.py FREESTONE-BENCH FREESTONE-BENCH-WITH SOURCE-ROOT [CLASS ... | --but CLASS ...]
Runs the tests of each CLASS below, or of every class but these; without one, all."""
import bisect
import gzip
import html.parser
import json
import math
import os
import pathlib
import pty
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

BENCH, BENCH_WITH, ROOT = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
# As the roster has them: each line's last component, or what it says that is to be shown.
STRATEGIES = [shown or re.sub(r"^[\w:]*::", "", type) for type, shown in re.findall(
    r'^    Entry<strategy::.*?>\{\s*"([^"]+)",\s*"[^"]+"(?:,\s*"([^"]+)")?\}', (ROOT / "bench/roster.hpp").read_text(), re.M)]
HEADER = "op,id,size,align,timestamp"
GRANULE = 4096
# Blocks of 1, 2, 1 granules; the second goes; one of 3 comes. By hand: 5 granules live at the peak; first fit leaves a hole
# of 2 and needs 7; a buddy of 6 = 4 + 2 puts the small ones into the 2 and gets its 4 back whole (one of 7 does not).
TINY = ["a,0,4000,0,0", "a,1,8192,0,5", "a,2,4096,0,5", "f,1,8192,0,6", "a,3,12288,0,9"]
TOP_KEYS = ["schema", "results", "advice"]
RESULT_KEYS = ["trace", "strategy", "granule", "zone_bytes", "needed_bytes", "needed_ratio", "refused", "metadata_bytes",
               "allocate_ns", "deallocate_ns", "internal_fragmentation", "external_fragmentation", "reason"]
LATENCY_KEYS = ["mean", "p50", "p99", "p999", "max"]


class FirstFit:
    """A list of holes and nothing clever."""

    def __init__(self, granules):
        self.free = [True] * granules
        self.live = {}

    def allocate(self, block, count):
        run = 0
        for at, free in enumerate(self.free):
            run = run + 1 if free else 0
            if run == count:
                self.mark(at + 1 - count, count, False)
                self.live[block] = (at + 1 - count, count)
                return True
        return False

    def release(self, block):
        if block in self.live:
            self.mark(*self.live.pop(block), True)

    def mark(self, first, count, free):
        self.free[first:first + count] = [free] * count


def replay(events, granules):
    """The share of the allocations that first fit refuses."""
    zone, refused, asked = FirstFit(granules), 0, 0
    for op, block, size in events:
        if op == "f":
            zone.release(block)
            continue
        asked += 1
        refused += not zone.allocate(block, -(-size // GRANULE))
    return refused / asked


def random_history(seed, count):
    chance, live, events, made = random.Random(seed), {}, [], 0
    for _ in range(count):
        if live and chance.random() < 0.47:
            block = chance.choice(sorted(live))
            events.append(("f", block, live.pop(block)))
        else:
            live[made] = chance.randrange(1, 9 * GRANULE)
            events.append(("a", made, live[made]))
            made += 1
    return events


class Page(html.parser.HTMLParser):
    """Counts tags, sees to it that they close, and lists what they refer to."""
    VOID = {"meta", "rect", "path", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.references = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("href", "src", "srcset", "data", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, lines, name="t.csv", header=HEADER):
        file = self.folder / name
        text = "\n".join([header] + lines) + "\n"
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return file

    def run_bench(self, *args, program=BENCH, status=0, environment={}):
        done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, cwd=self.folder, timeout=500,
                              env={**os.environ, **environment})
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done

    def results(self, *args, program=BENCH):
        file = self.folder / "out.json"
        self.run_bench(*args, "--quick", "--json", file, program=program)
        report = json.loads(file.read_text())
        return {(r["trace"], r["strategy"]): r for r in report["results"]}, report

    def workloads(self, *args, **how):
        file = self.folder / "out.json"
        text = self.run_bench(*args, "--quick", "--json", file, **how).stdout
        report = json.loads(file.read_text())
        return {(r["allocator"], r["workload"], r["phase"], r["threads"]): r for r in report["results"]}, report, text

    def refuses(self, pattern, *args):
        done = self.run_bench(*args, status=2)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, pattern)
        self.assertEqual(done.stderr.count("\n"), 1, "one line: " + done.stderr)


RECORD_KEYS = ["allocator", "workload", "phase", "threads", "ns", "p50_ns", "p99_ns", "p999_ns", "mops", "refused",
               "utilisation", "churn", "metadata_bytes"]
TIMES = ["ns", "p50_ns", "p99_ns", "p999_ns"]
FIGURES = RECORD_KEYS[4:-1]
STRATEGY = "freestone::strategy::"
FRAME_PHASES = ["bulk_allocate", "bulk_deallocate", "random_deallocate", "repeat"]


class Draws:
    """The bench's random numbers."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        word = 2 ** 64 - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & word
        mixed = (self.state ^ self.state >> 30) * 0xBF58476D1CE4E5B9 & word
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & word
        return mixed ^ mixed >> 31

    def size(self, largest):
        return min(int((largest + 1.0) ** ((self.next() >> 11) * 2.0 ** -53)), largest)


class Holes:
    """First fit over a sorted list of holes, in granules."""

    def __init__(self, granules):
        self.holes, self.granules, self.live, self.asked = [(0, granules)], granules, [], 0

    def allocate(self, count):
        for i, (start, length) in enumerate(self.holes):
            if length >= count:
                self.holes[i:i + 1] = [(start + count, length - count)] if length > count else []
                self.live.append((start, count))
                self.asked += count
                return True
        return False

    def release(self, block):
        start, count = block
        self.asked -= count
        i = bisect.bisect(self.holes, block)
        if i < len(self.holes) and self.holes[i][0] == start + count:
            count += self.holes.pop(i)[1]
        if i > 0 and sum(self.holes[i - 1]) == start:
            i -= 1
            start, count = self.holes[i][0], self.holes.pop(i)[1] + count
        self.holes.insert(i, (start, count))

    def release_at(self, index):
        block = self.live[index]
        self.live[index] = self.live[-1]
        self.live.pop()
        self.release(block)


def filled(granules, largest, seed):
    zone, draws = Holes(granules), Draws(seed)
    while zone.allocate(draws.size(largest)):
        pass
    return zone


def refilled(zone):
    gone, zone.live = zone.live[1::2], zone.live[::2]
    for block in gone:
        zone.release(block)
    all(zone.allocate(2 * count) for _, count in gone)
    return zone.asked / zone.granules


def churned(granules, largest, seed):
    zone, draws, step = Holes(granules), Draws(seed), 0
    while True:
        step += 1
        while zone.asked / granules < step / 200:
            if not zone.allocate(draws.size(largest)):
                return zone.asked / granules
        for _ in range(len(zone.live) // 2):
            zone.release_at(draws.next() % len(zone.live))
            if not zone.allocate(draws.size(largest)):
                return zone.asked / granules


class Workloads(Case):
    def test_each_workload_has_its_figures_and_no_others(self):
        names = ["W1", "W1-lifo64", "W2", "W2h", "W4", "W5-small", "W6", "W7-order9", "W8"]
        found, report, _ = self.workloads("--workloads", "--strategies", "Buddy,AllOrNothing", "--only", ",".join(names))
        self.assertEqual((report["schema"], list(report)[:2]), (1, ["schema", "results"]))
        for record in report["results"]:
            self.assertEqual(list(record), RECORD_KEYS)
        buddy, null = STRATEGY + "Buddy", "peer::null"
        self.assertEqual({key[0] for key in found}, {buddy, STRATEGY + "AllOrNothing", null})
        self.assertEqual([key[1:] for key in found if key[0] == buddy],
                         [(name, "", 1) for name in names[:7]] + [("W7-order9", phase, 1) for phase in FRAME_PHASES] +
                         [("W8", "none", 1), ("W8", "spin", 1), ("W8", "mutex", 1), ("W8", "spin", 2), ("W8", "mutex", 2)])
        self.assertEqual([key[1] for key in found if key[0] == STRATEGY + "AllOrNothing"], ["W1"])
        for (allocator, name, phase, _), record in found.items():
            there = {"W5-small": ["utilisation", "churn"], "W8": ["mops", "refused"]}.get(name, TIMES + ["refused"])
            there = [key for key in there if not (phase.endswith("deallocate") and key == "refused")]
            self.assertEqual([key for key in FIGURES if record[key] is not None], there, record)
            self.assertEqual(record["metadata_bytes"] is None, allocator == null)
            self.assertGreater(record["mops"] or record["ns"] or record["churn"], 0)
            self.assertTrue(0 <= (record["refused"] or 0) <= 1)
            times = [record[key] or 0 for key in TIMES[1:]]
            self.assertEqual(times, sorted(times))
        self.assertEqual(found[buddy, "W2h", "", 1]["refused"], 0)
        self.assertGreater(found[buddy, "W2", "", 1]["refused"], 0, "it grants powers of two")
        for name in names[:5]:
            self.assertGreater(found[buddy, name, "", 1]["ns"], found[null, name, "", 1]["ns"])

    def test_how_full_a_zone_gets_is_what_a_naive_first_fit_finds(self):
        found, _, text = self.workloads("--workloads", "--strategies", "Bitmap", "--only", "W5,W5-small")
        shown = re.findall(r"^  Bitmap +([\d.]+) % +([\d.]+) % +([\d.]+) %", text, re.M)
        for (name, granules, largest), row in zip([("W5", 2 ** 18, 1024), ("W5-small", 2 ** 16, 16)], shown, strict=True):
            record = found[STRATEGY + "Bitmap", name, "", 1]
            zones = [filled(granules, largest, seed) for seed in range(1, 7)]
            self.assertAlmostEqual(record["utilisation"], 100 * sum(zone.asked for zone in zones) / 6 / granules)
            self.assertEqual(row[1], f"{100 * sum(refilled(zone) for zone in zones) / 6:.1f}")
            self.assertEqual(row[::2], (f"{record['utilisation']:.1f}", f"{record['churn']:.1f}"))
            if name == "W5":  # the other takes a naive one minutes
                self.assertAlmostEqual(record["churn"], 100 * sum(churned(granules, largest, seed) for seed in range(1, 4)) / 3)

    def test_ratios_are_to_the_fastest_and_to_a_base(self):
        found, _, text = self.workloads("--workloads", "--only", "W1", "--strategies", "Bitmap,Buddy", "--base", "Bitmap")
        rows = {row[0]: row[1:] for row in re.findall(r"^  (\S+) +([\d.]+) +([\d.]+) +([\d.]+)", text, re.M)}
        self.assertIn("/ Bitmap", text)
        self.assertEqual(list(rows)[0], "peer::null", "the quickest first")
        fastest = min("Bitmap", "Buddy", key=lambda name: found[STRATEGY + name, "W1", "", 1]["ns"])
        self.assertEqual((rows[fastest][1], rows["Bitmap"][2]), ("1.00", "1.00"), "null is no rival")

    def test_peers_are_there_or_it_is_said_what_to_install(self):
        found, report, text = self.workloads("--peers", "--only", "W4", "--strategies", "Buddy")
        peers = ["boost_rbtree_best_fit", "boost_simple_seq_fit", "pmr_unsynchronized_pool", "glibc_malloc", "jemalloc",
                 "mimalloc", "tbbmalloc"]
        there = {key[0] for key in found}
        for peer in peers:
            left_out = [note for note in report["notes"] if note.startswith(f"peer::{peer}: left out")]
            self.assertEqual(f"peer::{peer}" in there, left_out == [])
            self.assertTrue(all("apt-get install lib" in note for note in left_out))
        self.assertLessEqual({f"peer::{peer}" for peer in peers[:4]}, there)
        self.assertRegex(text, r"peer::boost_simple_seq_fit .*  fewer operations\n")
        self.assertRegex(text, r"peer::boost_simple_seq_fit: above 2 us an operation, so that it did fewer: W4 \([\d,]+ of")

    def test_no_malloc_goes_under_anothers_name(self):
        def child(name):
            return self.run_bench("--round", name, "--only", "W1", "--quick", environment={"LD_PRELOAD": ""}).stdout
        self.assertNotEqual(child("peer::glibc_malloc"), "")
        for name in ("peer::jemalloc", "peer::mimalloc", "peer::tbbmalloc"):
            self.assertEqual(child(name), "", "nobody preloaded it")

    @unittest.skipUnless(shutil.which("valgrind"), "the package valgrind is not there")
    def test_instructions_are_no_matter_of_chance(self):
        args = ("--instructions", "--only", "W1,W2", "--strategies", "Buddy,AllOrNothing")
        runs = [self.workloads(*args)[1]["instructions"] for _ in range(2)]
        self.assertEqual(runs[0], runs[1])
        self.assertEqual([(r["allocator"], r["workload"]) for r in runs[0]],
                         [(STRATEGY + "Buddy", "W1"), (STRATEGY + "AllOrNothing", "W1"), (STRATEGY + "Buddy", "W2")])
        buddy, one, _ = (r["instructions"] for r in runs[0])
        self.assertTrue(5 < one < buddy < 5000, runs[0])
        self.assertEqual(self.workloads(*args)[1]["results"], [])

    def test_no_valgrind_names_the_package(self):
        done = self.run_bench("--instructions", status=2, environment={"PATH": ""})
        self.assertRegex(done.stderr, "--instructions: there is no valgrind, expected .* apt-get install valgrind")

    def test_bad_options(self):
        file = self.write(TINY)
        self.refuses(r"TRACE: that is of traces, expected without --workloads", "--workloads", file)
        self.refuses(r"--html: that is of traces", "--peers", "--html", "p.html")
        self.refuses(r"--granule: that is of traces", "--instructions", "--granule", "4K")
        self.refuses(r"--zone: that is of traces", "--workloads", "--zone", "4K")
        self.refuses(r"--ignore-align: that is of traces", "--workloads", "--ignore-align")
        self.refuses(r"--only: that is of the workloads, expected with --workloads, --peers or --instructions", "--only", "W1")
        self.refuses(r"--base: that is of the workloads", "--base", "Buddy", file)
        self.refuses(r"--only: unknown workload 'W9', expected some of W1, W1-lifo64, W2,", "--workloads", "--only", "W1,W9")
        self.refuses(r"--base: nobody here is called 'Bogus', expected one of .*Buddy", "--workloads", "--base", "Bogus")
        self.refuses(r"--strategies: unknown strategy 'Bogus'", "--workloads", "--strategies", "Bogus")
        self.refuses(r"--instructions: none of those workloads can be counted, expected --only W1", "--instructions", "--only", "W5")
        self.refuses(r"--json: cannot write", "--workloads", "--json", self.folder / "nowhere" / "out")


class Figures(Case):
    def test_a_history_worked_out_by_hand(self):
        found, _ = self.results(self.write(TINY + ["f,3,12288,0,9"]))  # the peak is not the end
        bitmap, buddy = found["t", "Bitmap"], found["t", "Buddy"]
        self.assertEqual((bitmap["needed_bytes"], bitmap["needed_ratio"]), (7 * GRANULE, 1.4))
        self.assertEqual((buddy["needed_bytes"], buddy["needed_ratio"]), (6 * GRANULE, 1.2))
        self.assertEqual((buddy["refused"], bitmap["refused"]), (0, 0.25), "in the buddy's 6 granules")
        self.assertAlmostEqual(bitmap["internal_fragmentation"], 1 - 20384 / (5 * GRANULE))
        self.assertAlmostEqual(buddy["internal_fragmentation"], 1 - 20384 / (6 * GRANULE))
        self.assertEqual((bitmap["external_fragmentation"], buddy["external_fragmentation"]), (0, 0))

    def test_free_but_in_pieces(self):
        # Two holes of one granule each at the peak.
        lines = [f"a,{i},4096,0,0" for i in range(5)] + ["f,1,4096,0,1", "f,3,4096,0,1", "a,5,12288,0,2"]
        found, _ = self.results(self.write(lines))
        self.assertEqual(found["t", "Bitmap"]["needed_bytes"], 8 * GRANULE)
        self.assertAlmostEqual(found["t", "Bitmap"]["external_fragmentation"], 0.5)

    def test_first_fit_is_what_a_naive_one_finds(self):
        for seed in range(1, 4):
            with self.subTest(seed=seed):
                events = random_history(seed, 600)
                file = self.write([f"{op},{block},{size},0,{i}" for i, (op, block, size) in enumerate(events)])
                found = self.results(file)[0]["t", "Bitmap"]
                needed, peak = found["needed_bytes"] // GRANULE, found["needed_bytes"] / found["needed_ratio"] / GRANULE
                grid = [math.ceil(peak * 1.005 ** step - 1e-9) for step in range(300)]
                below = max(zone for zone in grid if zone < needed)
                self.assertEqual(replay(events, needed), 0)
                self.assertGreater(replay(events, below), 0, "one step below")
                smaller = needed * 3 // 4
                got = self.results(file, "--zone", smaller * GRANULE)[0]["t", "Bitmap"]["refused"]
                self.assertAlmostEqual(got, replay(events, smaller))

    def test_alignment_counts_unless_ignored(self):
        file = self.write(["a,0,4096,0,0", "a,1,4096,16384,0"])
        self.assertEqual(self.results(file)[0]["t", "Bitmap"]["needed_bytes"], 5 * GRANULE)
        self.assertEqual(self.results(file, "--ignore-align")[0]["t", "Bitmap"]["needed_bytes"], 2 * GRANULE)

    def test_one_block_at_a_time_suits_all_or_nothing(self):
        found, _ = self.results(self.write(["a,0,5000,0,0", "f,0,5000,0,0", "a,1,9000,0,0"], "t.csv.gz"))
        one = found["t", "AllOrNothing"]
        self.assertEqual((one["needed_bytes"], one["needed_ratio"], one["refused"], one["reason"]), (3 * GRANULE, 1, 0, None))

    def test_granules_by_default(self):
        for sizes, granule in (([100, 200, 70000], 16), ([1024, 3072, 4096], 1024), ([1024, 8192, 4096], 4096),
                               ([1281, 12289], 4096)):
            found, _ = self.results(self.write([f"a,{i},{size},0,0" for i, size in enumerate(sizes)]), "--strategies", "Bitmap")
            self.assertEqual(found["t", "Bitmap"]["granule"], granule, sizes)
        found, _ = self.results(self.write(TINY), "--granule", "1K", "--strategies", "Bitmap")
        self.assertEqual(found["t", "Bitmap"]["granule"], 1024)

    def test_sizes_in_every_spelling(self):
        for text, value in (("64M", 64 << 20), ("64MiB", 64 << 20), ("1G", 1 << 30), ("65536", 65536), ("0x10000", 65536)):
            found, _ = self.results(self.write(TINY), "--zone", text, "--strategies", "Bitmap")
            self.assertEqual(found["t", "Bitmap"]["zone_bytes"], value, text)

    def test_the_largest_size_is_an_answer_too(self):
        found, _ = self.results(self.write([f"a,0,{2 ** 63},0,0"]))
        self.assertEqual(found["t", "AllOrNothing"]["needed_bytes"], 2 ** 63)
        self.assertIsNone(found["t", "Bitmap"]["needed_bytes"])
        self.assertIn("give a larger --granule", found["t", "Bitmap"]["reason"])


class Reports(Case):
    def test_json_schema(self):
        _, report = self.results(self.write(TINY))
        self.assertEqual((list(report), report["schema"]), (TOP_KEYS, 1))
        self.assertEqual([r["strategy"] for r in report["results"]], STRATEGIES)
        self.assertLessEqual({"Bitmap", "Buddy", "AllOrNothing", "System"}, set(STRATEGIES))
        for record in report["results"]:
            self.assertEqual(list(record), RESULT_KEYS)
            for call in ("allocate_ns", "deallocate_ns"):
                if record[call] is not None:
                    self.assertEqual(list(record[call]), LATENCY_KEYS)
                    figures = [record[call][key] for key in LATENCY_KEYS[1:]]
                    self.assertEqual(figures, sorted(figures))
            self.assertTrue(0 <= record["refused"] <= 1)
            self.assertGreater(record["metadata_bytes"], 0)
            missing = any(value is None for key, value in record.items() if key != "reason")
            self.assertEqual(record["reason"] is not None, missing, record)
        for advice in report["advice"]:
            self.assertEqual(list(advice), ["trace", "policy", "reason"])

    def test_figures_that_do_not_exist_say_why(self):
        found, _ = self.results(self.write(TINY))
        one, host = found["t", "AllOrNothing"], found["t", "System"]
        self.assertEqual((one["needed_bytes"], one["needed_ratio"], one["allocate_ns"]), (None, None, None))
        self.assertIn("two are live at once", one["reason"])
        self.assertEqual((host["needed_bytes"], host["needed_ratio"], host["external_fragmentation"]), (None, None, None))
        self.assertIn("places nothing", host["reason"])
        found, _ = self.results(self.write(["a,0,1,0,0"]))
        self.assertIsNone(found["t", "Bitmap"]["deallocate_ns"])
        self.assertIn("frees nothing", found["t", "Bitmap"]["reason"])

    def test_advice_is_a_line_that_compiles(self):
        file = self.write(TINY)
        one_wins = "--strategies", "Bitmap,Buddy"  # where two need the same, the clock decides
        text = self.run_bench(file, "--quick", *one_wins).stdout
        policy = self.results(file, *one_wins)[1]["advice"][0]["policy"]
        self.assertTrue(policy.startswith("using Heap = freestone::Zone<") and "Buddy" in policy, policy)
        self.assertIn(policy, text)
        includes = re.findall(r"^ *(#include <freestone/.*>)$", text, re.M)
        source = self.folder / "heap.cpp"
        source.write_text("\n".join(includes) + f"\n{policy}\nint main() {{ return Heap::create({{.size = 1 << 20}}) ? 0 : 1; }}\n")
        subprocess.run([*shlex.split(os.environ.get("CXX", "c++")), "-std=c++20", "-fsyntax-only", f"-I{ROOT}/include", source], check=True)

    def test_a_board_is_a_line_that_compiles_and_serves_each_trace(self):
        first, second = self.write(TINY), self.write(["a,0,4096,0,0", "f,0,4096,0,1", "a,1,8192,0,2"], "u.csv")
        heaps = f"camera={first}", f"audio={second}"
        text = self.run_bench(*heaps, "--quick").stdout
        board = self.results(*heaps)[1]["board"]
        line = re.search(r"^ *(using namespace freestone::declare; constexpr auto board = heaps\(.*\);)$", text, re.M).group(1)
        self.assertIn('heap<"camera">(id<0>, zone<freestone::Zone<', board)
        self.assertIn('heap<"audio">(id<1>, zone<freestone::Zone<', board)
        includes = re.findall(r"^ *(#include <freestone/.*>)$", text, re.M)
        source = self.folder / "board.cpp"
        source.write_text("\n".join(includes) + f"\n{line}\nint main() {{ auto all = board.create(); return all && all->allocate("
                          "{.size = 4096, .heaps = id<1>}) ? 0 : 1; }\n")
        program = self.folder / "board"
        subprocess.run([*shlex.split(os.environ.get("CXX", "c++")), "-std=c++20", f"-I{ROOT}/include", source, "-o", program], check=True)
        subprocess.run([program], check=True)

    def test_bad_boards_are_told(self):
        file = self.write(TINY)
        for arguments, said in (((f"={file}",), "no heap's name"), ((f"{'x' * 32}={file}",), "no heap's name"),
                                ((f"a={file}", f"a={file}"), "there already"), ((f"a={file}", file), "HEAP=TRACE for each"),
                                (("a=nowhere.csv",), "nowhere.csv"), (tuple(f"h{i}={file}" for i in range(65)), "64 at most")):
            self.assertIn(said, self.run_bench(*arguments, status=2).stderr)

    def test_advice_goes_to_nobody_who_refuses(self):
        file = self.write(TINY)
        advice = self.results(file, "--zone", 7 * GRANULE, "--strategies", "Bitmap,Buddy")[1]["advice"][0]
        self.assertIn("strategy::Bitmap", advice["policy"], "the buddy needs less, but refuses in a zone of 7 granules")
        advice = self.results(file, "--zone", 5 * GRANULE)[1]["advice"][0]
        self.assertIsNone(advice["policy"])
        self.assertIn("Buddy needs 24 KiB", advice["reason"])
        self.assertIsNone(self.results(file, "--strategies", "System,AllOrNothing")[1]["advice"][0]["policy"])

    def test_the_page_is_whole_and_needs_nothing_else(self):
        page = self.folder / "p.html"
        self.run_bench(self.write(TINY), self.write(["a,0,1,0,0"], "a<b&.csv"), "--quick", "--html", page)
        text = page.read_text()
        parsed = Page(text)
        self.assertEqual(parsed.open, [])
        self.assertTrue(all(reference.startswith("#") for reference in parsed.references), parsed.references)
        self.assertIsNone(re.search(r"https?:|url\(|@import|<script|<link", text))
        self.assertEqual(parsed.tags.count("figure"), 4, "the best and the worst of two traces")
        self.assertIn('class="refused"', text)
        self.assertIn("a&lt;b&amp;", text)

    def test_a_large_trace_is_drawn_from_samples(self):
        page = self.folder / "p.html"
        lines = [f"{op},{i},{4096 * (1 + i % 3)},0,{i}" for i in range(2100) for op in "af"]
        self.run_bench(self.write(lines), "--quick", "--html", page)
        self.assertIn("Sampled: what lies at 200 moments and 100 heights", page.read_text())
        self.assertLess(page.stat().st_size, 2_000_000)

    def test_a_bar_on_a_terminal_only(self):
        file = self.write(TINY)
        self.assertEqual(self.run_bench(file, "--quick").stderr, "")
        ours, theirs = pty.openpty()
        subprocess.run([BENCH, file, "--quick"], stdout=subprocess.DEVNULL, stderr=theirs, check=True)
        os.close(theirs)
        shown = os.read(ours, 65536)
        os.close(ours)
        self.assertIn(b"\r", shown)
        self.assertIn(b"Bitmap", shown)

    def test_help_names_every_option(self):
        text = self.run_bench("--help").stdout
        for option in ("--json", "--html", "--granule", "--zone", "--strategies", "--ignore-align", "--quick", "--help", "--with", "--workloads",
                       "--peers", "--instructions", "--only", "--base"):
            self.assertIn(option, text)


class OwnStrategy(Case):
    def test_on_traces(self):
        found, report = self.results(self.write(TINY), program=BENCH_WITH)
        own = found["t", "Renamed<freestone::strategy::Bitmap, 7>"]
        for key in ("needed_bytes", "refused", "metadata_bytes", "internal_fragmentation"):
            self.assertEqual(own[key], found["t", "Bitmap"][key])
        self.assertEqual(len(report["results"]), len(STRATEGIES) + 1)
        _, report = self.results(self.write(TINY), "--strategies", "Renamed<freestone::strategy::Bitmap, 7>", program=BENCH_WITH)
        self.assertIn("own::Renamed<freestone::strategy::Bitmap, 7>", report["advice"][0]["policy"])

    def test_on_workloads(self):
        found, _, text = self.workloads("--workloads", "--only", "W1", program=BENCH_WITH)
        self.assertIn(("own::Renamed<freestone::strategy::Bitmap, 7>", "W1", "", 1), found)
        self.assertIn("Renamed<freestone::strategy::Bitmap, 7>", text)


class Quick(Case):
    def test_shipped_traces_but_for_the_long_ones(self):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = self.run_bench("--quick")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertLess(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                        int(os.environ.get("QUICK_SECONDS", 20)))
        self.assertIn("Left out by --quick: cc1plus_malloc (400,000 events)", done.stdout)
        self.assertIn("Left out by --quick: linux_pages_6.18 (600,000 events)", done.stdout)
        self.assertEqual(len(re.findall(r"^\S+: [\d,]+ events", done.stdout, re.M)), 14)
        self.assertEqual(done.stderr, "")
        self.assertIn("in granules of 1 KiB", re.search(r"^tpu_A: .*$", done.stdout, re.M)[0])
        self.assertIn("in granules of 4 KiB", re.search(r"^iopddl_G_1: .*$", done.stdout, re.M)[0])

    def test_what_a_traced_heap_writes(self):
        trace = ROOT / "examples/expected/08_traced_heap.txt"
        done = self.run_bench(trace, "--strategies", "Buddy")
        self.assertIn(f"{len(trace.read_text().splitlines()) - 1} events", done.stdout)

    def test_a_long_trace_named_runs_whole(self):
        done = self.run_bench(ROOT / "bench/traces/cc1plus_malloc.csv.gz", "--quick", "--strategies", "AllOrNothing")
        self.assertIn("cc1plus_malloc: 400,000 events", done.stdout)
        self.assertNotIn("Left out", done.stdout)


class BadTraces(Case):
    def refuses_trace(self, line, pattern, lines, **how):
        file = self.write(lines, **how)
        self.refuses(rf"{re.escape(str(file))}:{line}: {pattern}", file, "--quick")

    def test_files(self):
        self.refuses(r"none\.csv:1: cannot open it \(No such file.*\), expected a trace", self.folder / "none.csv")
        self.refuses(r":1: cannot read it", self.folder)
        whole = self.write(TINY * 1, "cut.csv.gz").read_bytes()
        (self.folder / "cut.csv.gz").write_bytes(whole[:-12])
        self.refuses(r"cut\.csv\.gz:\d+: broken gzip \(.+\), expected a whole gzip file", self.folder / "cut.csv.gz")
        (self.folder / "crc.csv.gz").write_bytes(whole[:-8] + bytes(4) + whole[-4:])
        self.refuses(r"crc\.csv\.gz:\d+: broken gzip", self.folder / "crc.csv.gz")
        (self.folder / "no.csv.gz").write_text(HEADER + "\n" + "\n".join(TINY) + "\n")
        self.refuses(r"no\.csv\.gz:1: this is no gzip, expected", self.folder / "no.csv.gz")

    def test_columns(self):
        self.refuses_trace(1, "the columns are 'op,id,size', expected 'op,id,size,align,timestamp'", [], header="op,id,size")
        self.refuses_trace(2, "wrong columns: 4 of them, expected 5", ["a,0,1,0"])
        self.refuses_trace(3, "wrong columns: 6 of them, expected 5", ["a,0,1,0,0", "a,1,1,0,0,0"])
        self.refuses_trace(3, "wrong columns: 1 of them", ["a,0,1,0,0", "", "a,1,1,0,0"])
        self.refuses_trace(1, "the trace ends here, expected at least one allocation", [])
        (self.folder / "empty.csv").write_text("")
        self.refuses(r"empty\.csv:1: the columns are ''", self.folder / "empty.csv")

    def test_fields(self):
        self.refuses_trace(2, "unknown op 'x', expected 'a' or 'f'", ["x,0,1,0,0"])
        self.refuses_trace(2, "id 'one' is no number of 64 bits, expected a whole number", ["a,one,1,0,0"])
        self.refuses_trace(2, "size '-5' is no number", ["a,0,-5,0,0"])
        self.refuses_trace(2, "size '1.5' is no number", ["a,0,1.5,0,0"])
        self.refuses_trace(2, "size '99999999999999999999' is no number", ["a,0,99999999999999999999,0,0"])
        self.refuses_trace(2, "align '' is no number", ["a,0,1,,0"])
        self.refuses_trace(2, "timestamp 'now' is no number", ["a,0,1,0,now"])
        self.refuses_trace(2, "size 0, expected at least 1 byte", ["a,0,0,0,0"])
        self.refuses_trace(2, f"size {2 ** 63 + 1}, expected at most 2\\^63 bytes", [f"a,0,{2 ** 63 + 1},0,0"])
        self.refuses_trace(2, "alignment 24 is no power of two, expected a power of two, or 0", ["a,0,1,24,0"])
        self.refuses_trace(3, "timestamp 4 falls, expected at least 5", ["a,0,1,0,5", "a,1,1,0,4"])

    def test_histories(self):
        self.refuses_trace(3, "free of the unknown id 7, expected an id that is live", ["a,0,1,0,0", "f,7,1,0,0"])
        self.refuses_trace(4, "id 0 is freed a second time, expected an id that is live", ["a,0,1,0,0", "f,0,1,0,0", "f,0,1,0,0"])
        self.refuses_trace(3, "id 0 is freed with size 2, expected 1, as allocated", ["a,0,1,0,0", "f,0,2,0,0"])
        self.refuses_trace(3, "id 0 is live already, expected 1", ["a,0,1,0,0", "a,0,1,0,0"])
        self.refuses_trace(2, "id 3 is out of order, expected 0: ids count up from 0", ["a,3,1,0,0"])
        self.refuses_trace(3, r"the live blocks grow past 2\^63 bytes", [f"a,0,{2 ** 63},0,0", "a,1,1,0,0"])


class BadOptions(Case):
    def test_each_is_one_clear_line(self):
        file = self.write(TINY)
        self.refuses(r"not expected: --frobnicate", "--frobnicate", file)
        for option in ("--json", "--html", "--granule", "--zone", "--strategies"):
            self.refuses(option + r".*(requires|required)", file, option)
        self.refuses(r"--granule: '4Q' is no size, expected", file, "--granule", "4Q")
        self.refuses(r"--granule: 3000 is no power of two, expected", file, "--granule", "3000")
        self.refuses(r"--granule: 0 is no power of two, expected", file, "--granule", "0")
        self.refuses(r"--zone: 'big' is no size, expected", file, "--zone", "big")
        self.refuses(r"--zone: '99999999999G' is no size", file, "--zone", "99999999999G")
        self.refuses(r"--zone: 1 KiB is below a granule, expected at least 4 KiB", file, "--zone", "1K")
        self.refuses(r"--zone: 0 B is below a granule", file, "--zone", "0")
        self.refuses(r"--zone: 5000 bytes is no multiple of the granule, expected one of 4 KiB", file, "--zone", "5000")
        self.refuses(r"--strategies: unknown strategy 'Bogus', expected some of " + ", ".join(STRATEGIES),
                     file, "--strategies", "Bitmap,Bogus")
        self.refuses(r"--strategies: unknown strategy ''", file, "--strategies", "")
        self.refuses(r"--with: .*\./dev bench --with HEADER TYPE", file, "--with", "my.hpp", "my::Own")
        self.refuses(r"--micro: .*\./dev bench --micro", "--micro")
        self.refuses(r"take more than 2\^63 bytes: give a smaller --granule", file, "--granule", 2 ** 63)

    def test_reports_are_known_to_be_writable_first(self):
        missing = self.folder / "nowhere" / "out"
        for option in ("--json", "--html"):
            self.refuses(rf"{option}: cannot write .*nowhere/out \(No such file.*\), expected", "not-read.csv", option, missing)
            self.refuses(rf"{option}: cannot write .* \(Is a directory\), expected", "not-read.csv", option, self.folder)
            self.refuses(rf"{option}: the path is empty, expected", "not-read.csv", option, "")

    def test_a_failed_run_leaves_no_report(self):
        out, old = self.folder / "new.json", self.folder / "old.json"
        old.write_text("kept")
        self.refuses("cannot open", "none.csv", "--json", out)
        self.refuses("cannot open", "none.csv", "--json", old)
        self.assertFalse(out.exists())
        self.assertEqual(old.read_text(), "kept")


if __name__ == "__main__":
    chosen = sys.argv[4:]
    if chosen[:1] == ["--but"]:
        classes = [name for name, kind in globals().items() if isinstance(kind, type) and issubclass(kind, Case)]
        chosen = [name for name in classes if name not in chosen[1:]]
    unittest.main(argv=sys.argv[:1] + chosen, verbosity=1)
