"""Tests of the scripts that need no GPU. Exit code 77: NumPy is not installed."""

import lzma
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

try:
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

import measure  # noqa: E402
import seeded  # noqa: E402


class Seeded(unittest.TestCase):
    def test_integers_are_the_same_for_ever(self):
        self.assertEqual(seeded.integers(8, 5).tolist(), [0, 1, -3, -1, -2, -2, 2, 2])
        self.assertNotEqual(seeded.integers(8, 6).tolist(), seeded.integers(8, 5).tolist())

    def test_integers_are_uniform(self):
        values, counts = np.unique(seeded.integers(150000, 1), return_counts=True)
        self.assertEqual(values.tolist(), list(range(-3, 4)))
        self.assertLess(abs(counts - 150000 / 7).max(), 700)

    def test_layers_keep_the_size_of_the_signal(self):
        weight = seeded.tensor("conv.weight", (64, 64, 3, 3))
        self.assertAlmostEqual(math.log2(weight.std() / math.sqrt(2 / 576)), 0, delta=0.6)
        self.assertTrue((seeded.tensor("bn.running_var", (4,)) + np.float32(1e-5) == 1).all())
        self.assertEqual(seeded.tensor("layer1.0.bn3.weight", (4,)).tolist(), [0.25] * 4)

    def test_weights_compress(self):
        half = seeded.tensor("conv.weight", (256, 256, 3, 3)).astype(np.float16).tobytes()
        self.assertLess(len(lzma.compress(half, preset=1)), 0.25 * len(half))

    def test_images(self):
        x = seeded.images(2, seed=1, size=8)
        self.assertEqual(x.shape, (2, 3, 8, 8))
        self.assertTrue((abs(x) <= 1.5).all() and (x * 16 == np.round(x * 16)).all())


class Measure(unittest.TestCase):
    def test_inputs_outgrow_the_cache(self):
        for size in (1, 300 << 10, 38 << 20, 1 << 30):
            self.assertGreater(measure.copies(size) * size, 120e6)

    def test_floor(self):
        steps = [types.SimpleNamespace(bytes=1e9, flops=1e9), types.SimpleNamespace(bytes=1e6, flops=1e12)]
        self.assertAlmostEqual(measure.floor_seconds(steps, 1e12, 1e14), 1e-3 + 1e-2)

    def test_table(self):
        ours, best, failed = (measure.Measurement(name) for name in ("ours", "eager", "compiled"))
        ours.rounds = [1e-4, 3e-4, 2e-4]
        best.rounds = [4e-4]
        failed.problem = "no compiler"
        lines = measure.table("title", [ours, best, failed], 4, 1e-4)
        self.assertEqual(lines[2].split(), ["ours", "200.0", "100.0", "20000", "2.00", "50.0"])
        self.assertEqual(lines[3].split(), ["eager", "400.0", "400.0", "10000", "1.00", "25.0"])
        self.assertIn("not measured: no compiler", lines[4])
        other = measure.Measurement("ours too")
        other.rounds = [1e-6]
        lines = measure.table("title", [ours, other, best, failed], 4, 1e-4, ours=2)
        self.assertEqual([line.split()[-2] for line in lines[2:5]], ["2.00", "400.00", "1.00"])

    def test_relative_error(self):
        try:
            import torch
        except ImportError:
            self.skipTest("PyTorch is not installed")
        one = torch.tensor([3.0, 4.0])
        self.assertAlmostEqual(measure.relative_error(torch.tensor([3.0, 4.5]), one), 0.1)
        self.assertEqual(measure.relative_error(torch.tensor([3.0, float("nan")]), one), math.inf)
        self.assertEqual(measure.relative_error(torch.tensor([3.0]), one), math.inf)


class Baselines(unittest.TestCase):
    def test_folded_batch_norms_change_nothing(self):
        try:
            import contest
            import torch
        except ImportError as error:
            self.skipTest(str(error))
        model = contest.reference_model("resnet50")
        x = torch.from_numpy(seeded.images(1, seed=4, size=64))
        with torch.no_grad():
            expected = model(x)
            folded = contest.fold_batch_norms(model)
            self.assertFalse([m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)])
            self.assertLess(measure.relative_error(folded(x), expected), 1e-5)


class Bundle(unittest.TestCase):
    def test_weights_are_unpacked_beside_the_shared_object(self):
        import prepare
        import run

        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            for unit in ("mma", "wgmma"):
                (scratch / unit).mkdir()
                (scratch / unit / "network.so").write_bytes(unit.encode())
                (scratch / unit / "network.weights").write_bytes(b"weights")
                prepare.keep_weights(scratch / unit / "network.weights", scratch / "store")
                self.assertFalse((scratch / unit / "network.weights").exists())
            self.assertEqual(len(list((scratch / "store").iterdir())), 1)
            unpacked = run.unpack(scratch / "wgmma", scratch / "store", scratch / "unpacked")
            self.assertEqual(unpacked.read_bytes(), b"wgmma")
            self.assertEqual((scratch / "unpacked" / "network.weights").read_bytes(), b"weights")


class Commands(unittest.TestCase):
    def run_script(self, *arguments):
        command = [sys.executable, str(HERE / "run.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})

    def test_without_a_bundle(self):
        done = self.run_script("--bundle", "/nonexistent")
        self.assertEqual(done.returncode, 2)
        self.assertIn("is no bundle; make one with", done.stderr)

    def test_without_a_gpu(self):
        with tempfile.TemporaryDirectory() as bundle:
            (pathlib.Path(bundle) / "bundle.json").write_text("{}")
            done = self.run_script("--bundle", bundle)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "sees no GPU|has no PyTorch")

    def test_bridge_reports_errors(self):
        library = os.environ.get("CARDINAL_BRIDGE", "/nonexistent")
        if not pathlib.Path(library).exists():
            self.skipTest("libcardinal_bridge.so is not built")
        from bridge import Bridge, GpuError

        with self.assertRaisesRegex(GpuError, "nonexistent.so"):
            Bridge(library).open("/nonexistent.so")


if __name__ == "__main__":
    unittest.main()
