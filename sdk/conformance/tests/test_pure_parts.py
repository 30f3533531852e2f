"""The parts that judge and cut, without a server: python3 -m unittest discover sdk/conformance/tests"""

import re
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "runner"))

from bell import seconds
from matching import difference, filled_in, listed
from scenario import read_all, wrongs
from server import merged, toml
from websocket_frames import CLOSE, TEXT, Messages, Parser, pack, pack_close


class Matching(unittest.TestCase):
    def test_members_that_are_asked_for_decide(self):
        for expected, got, is_match in [
            ({"a": 1}, {"a": 1, "b": 2}, True),
            ({"a": 1}, {"b": 1}, False),
            ({"a": {"absent": True}}, {"b": 1}, True),
            ({"a": {"absent": True}}, {"a": None}, False),
            ({"a": {"any": True}}, {"a": None}, True),
            ({"a": {"any": True}}, {}, False),
            ([1, 2], [1, 2], True),
            ([1, 2], [1, 2, 3], False),
            ([1, 2], [2, 1], False),
            ({"at_least": 2}, 2, True),
            ({"at_least": 2}, 1, False),
            ({"at_least": 2}, "2", False),
            ({"at_most": 2}, 3, False),
            ({"one_of": ["a", {"b": 1}]}, {"b": 1}, True),
            ({"one_of": ["a"]}, "b", False),
            ({"not": 1}, 1, False),
            ({"contains": "el"}, "hello", True),
            (True, 1, False),
            (1, True, False),
            (False, False, True),
        ]:
            with self.subTest(expected=expected, got=got):
                self.assertEqual(difference(expected, got) is None, is_match)

    def test_what_was_kept_is_put_in(self):
        kept = {"page": {"epoch": "Zr3", "messages": {"n": 1}}}
        step = {"after": {"epoch": {"the": "page.epoch"}}, "data": [{"repeat": "ab", "times": 2}]}
        self.assertEqual(filled_in(step, kept), {"after": {"epoch": "Zr3"}, "data": ["abab"]})
        for path in ("other", "page.offset"):
            with self.assertRaises(ValueError):
                filled_in({"the": path}, kept)
        self.assertEqual(listed({"from": 3, "to": 5}), [3, 4, 5])

    def test_durations_have_units(self):
        texts = ("250ms", "3s", "1h", "-5s")
        self.assertEqual([seconds(text) for text in texts], [0.25, 3, 3600, -5])
        for text in ("3", "s", "3 s", "3d"):
            with self.assertRaises(ValueError):
                seconds(text)


class WebSocketFrames(unittest.TestCase):
    def test_frames_of_every_length_are_cut_wherever_bytes_end(self):
        texts = ["", "a", "x" * 125, "y" * 126, "z" * 65535, "ß" * 40000]
        for is_masked in (False, True):
            stream = b"".join(pack(text, is_masked=is_masked) for text in texts)
            stream += pack_close(4003, "no")
            for size in (1, 7, 4096, len(stream)):
                parser, pieces = Parser(), []
                for at in range(0, len(stream), size):
                    pieces += parser.feed(stream[at : at + size])
                self.assertEqual([piece.payload.decode() for piece in pieces[:-1]], texts)
                self.assertEqual((pieces[-1].opcode, pieces[-1].payload[:2]), (CLOSE, b"\x0f\xa3"))
                self.assertEqual(b"".join(piece.raw for piece in pieces), stream)

    def test_a_masked_frame_is_unmasked(self):
        # "Hello", RFC 6455, section 5.7.
        pieces = Parser().feed(bytes.fromhex("818537fa213d7f9f4d5158"))
        self.assertEqual([piece.payload for piece in pieces], [b"Hello"])

    def test_fragments_are_one_message_also_around_a_ping(self):
        pieces = Parser().feed(bytes.fromhex("010348656c" + "8900" + "80026c6f"))
        messages = Messages()
        self.assertEqual([messages.feed(one) for one in pieces], [None, (9, b""), (TEXT, b"Hello")])


class Scenarios(unittest.TestCase):
    def test_all_are_well_formed(self):
        self.assertGreater(len(read_all(HERE.parent / "scenarios")), 60)

    def test_each_is_named_by_a_rule_and_each_name_is_one(self):
        page = (HERE.parents[2] / "docs" / "writing-an-sdk.md").read_text()
        rules, _, _ = page.partition("<!-- begin conformance -->")
        names = {scenario["name"] for scenario in read_all(HERE.parent / "scenarios")}
        quoted = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", rules))
        self.assertEqual(names - quoted, set())
        with_hyphens = {name for name in quoted if "-" in name}
        self.assertEqual(with_hyphens - names, set())

    def test_what_is_wrong_with_one_is_told(self):
        good = {"title": "t", "why": "w", "group": "g", "steps": [{"server": "kill"}]}
        self.assertEqual(list(wrongs(good)), [])
        for spoil, word in [
            ({"title": None}, "title"),
            ({"colour": "blue"}, "colour"),
            ({"steps": []}, "steps"),
            ({"steps": [{"client": "a"}]}, "step 1"),
            ({"steps": [{"client": "a", "does": "open", "tells": []}]}, "step 1"),
            ({"steps": [{"client": "a", "network": "a", "does": "open"}]}, "step 1"),
        ]:
            with self.subTest(spoil=spoil):
                self.assertIn(word, " ".join(wrongs({**good, **spoil})))


class Configuration(unittest.TestCase):
    def test_tables_become_toml(self):
        import tomllib

        tables = {"log": {"format": "json"}, "topic": [{"match": "a"}, {"match": "b", "n": 1}],
                  "auth": {"open": False, "keys": [{"caps": [{"match": "#", "ops": ["pub"]}]}]}}
        self.assertEqual(tomllib.loads(toml(tables)), tables)

    def test_a_scenario_replaces_single_keys(self):
        both = merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4})
        self.assertEqual(both, {"a": {"b": 1, "c": 3}, "d": 4})


if __name__ == "__main__":
    unittest.main()
