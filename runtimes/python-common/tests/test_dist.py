import json
import os
import pathlib
import unittest

from microsim_common.dist import Delay, Key, parse_duration, parse_size

FILE = os.environ.get("MICROSIM_VECTORS") or pathlib.Path(__file__).parents[3] / "testdata" / "vectors.json"
VECTORS = json.loads(pathlib.Path(FILE).read_text())


class Vectors(unittest.TestCase):
    def test_keys(self) -> None:
        for v in VECTORS["keys"]:
            key = Key.seed(int(v["seed"]))
            for step in v["path"]:
                key = key.name(step) if isinstance(step, str) else key.number(step)
            got = (str(key.value), str(key.uint64()), key.float64(), key.int_n(10))
            self.assertEqual(got, (v["key"], v["uint64"], v["float64"], v["intN10"]), v["path"])

    def test_delays(self) -> None:
        for v in VECTORS["delays"]:
            delay = Delay(v["delay"])
            drawn = [delay.draw(Key.seed(1).number(i)) for i in range(10000)]
            self.assertEqual(drawn[: len(v["nanoseconds"])], v["nanoseconds"], v["delay"])
            self.assertEqual(str(sum(drawn) % 2**64), v["sumOf10000"], v["delay"])

    def test_words(self) -> None:
        for text, want in {"5ms": 5 * 10**6, "1m30s": 90 * 10**9, "1.5s": 15 * 10**8, "-1ms": -(10**6), "0": 0}.items():
            self.assertEqual(parse_duration(text), want, text)
        for size, bytes_ in {"64Ki": 65536, "512": 512, "2k": 2000, "1Mi": 1 << 20}.items():
            self.assertEqual(parse_size(size), bytes_, size)
        for bad in ("5", "5 ms", "5parsec", "ms"):
            self.assertRaises(ValueError, parse_duration, bad)


if __name__ == "__main__":
    unittest.main()
