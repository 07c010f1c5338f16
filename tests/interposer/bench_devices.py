"""The bench of served devices, with few cycles. usage: bench_devices.py RUN BOARD INTERPOSER PROGRAM"""
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

RUN, BOARD, INTERPOSER, PROGRAM = sys.argv[1:5]
KEYS = ["subject", "bytes", "cycles", "median_ns", "p90_ns", "p99_ns", "max_ns", "allocate_ns", "ratio"]


def run(*arguments, before=(RUN, BOARD, INTERPOSER, "--")):
    return subprocess.run([*before, PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=60)


class Devices(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.json = pathlib.Path(folder.name) / "out.json"

    def refuses(self, pattern, *arguments, **how):
        done = run(*arguments, **how)
        self.assertEqual(done.returncode, 2, done)
        self.assertRegex(done.stderr, pattern)
        self.assertFalse(self.json.exists())

    def test_each_record_has_its_figures(self):
        done = run("--cycles", 7, "--json", self.json)
        self.assertEqual(done.returncode, 0, done)
        report = json.loads(self.json.read_text())
        self.assertEqual(report["schema"], 1)
        self.assertEqual([(row["bytes"], row["subject"]) for row in report["results"]],
                         [(size << 10, subject) for size in (4, 64, 1024) for subject in ("memfd", "ion", "dma_heap")])
        for row in report["results"]:
            self.assertEqual(list(row), KEYS)
            self.assertEqual(row["cycles"], 7)
            self.assertTrue(0 < row["allocate_ns"] and 0 < row["median_ns"] <= row["p90_ns"] <= row["p99_ns"] <= row["max_ns"], row)
            base = next(one for one in report["results"] if one["bytes"] == row["bytes"])
            self.assertTrue(math.isclose(row["ratio"], row["median_ns"] / base["median_ns"], abs_tol=0.001), row)
        self.assertEqual(sum(line.startswith(("memfd ", "ion ", "dma_heap ")) for line in done.stdout.splitlines()), 9)

    def test_ion_with_handles(self):
        for board in ("qualcomm-8x25", "ion-g2", "ion-g3"):
            path = pathlib.Path(BOARD).parents[1] / "examples/boards" / (board + ".toml")
            done = run("--cycles", 3, "--json", self.json, before=(RUN, path, INTERPOSER, "--"))
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual([row["subject"] for row in json.loads(self.json.read_text())["results"]], ["memfd", "ion"] * 3)

    def test_one_cycle_and_help(self):
        self.assertEqual(run("--cycles", 1).returncode, 0)
        for option in ("--cycles", "--json", "--devices"):
            self.assertIn(option, run("--help").stdout)

    def test_what_it_will_not_take(self):
        self.refuses("not expected: --nothing", "--nothing", 1)
        self.refuses("--json: a value", "--cycles", 3, "--json")
        for number in ("0", "x", "3x", "-1", "10000001"):
            self.refuses("is no number of cycles", "--json", self.json, "--cycles", number)
        self.refuses("cannot write", "--cycles", 1, "--json", self.json / "nowhere")

    @unittest.skipIf(os.path.exists("/dev/ion") or os.path.exists("/dev/dma_heap/system"), "this machine has such devices")
    def test_no_devices(self):
        self.refuses("neither /dev/ion nor", "--json", self.json, before=())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=1)
