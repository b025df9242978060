"""Spoilt bundles: each numbered mutation of a real one must be refused with a BundleError.

Some leave the manifest as it was. The others are by somebody who also corrects every digest: what
they write makes no sense, and golden rows or the parts themselves must give it away. Small changes
of that kind can be another sound bundle (there is no signature): it must be refused, or answer
every good request.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import math
import os
import pickle
import random
import shutil
import socket
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inference import handler
from shared import bundle as bundle_files
from shared import documents, files
from shared.errors import BundleError
from tests.support import bundles

Chance = random.Random
Mutation = Callable[[Chance, Path], None]

JSON_FILES = ("manifest.json", "schema.json", "transforms.json", "sources.json", "golden.json")
SOURCE = "sources/weather.npz"
NAMES = ("../evil", "/etc/passwd", "a/../../evil", "a//b", "evil\n", "c:evil", "a" * 300, "\ud800")
STRANGE: tuple[Any, ...] = (
    None, True, "", "x", -1, 0, 1e300, -1e300, 10**400, [], {}, [[]], {"a": 1}, "../../etc/passwd",
)  # fmt: skip


def read(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def reseal(directory: Path, name: str, content: bytes | Any) -> None:
    """Replace a file, and correct every digest."""
    data = content if isinstance(content, bytes) else documents.dumps(content).encode()
    (directory / name).write_bytes(data)
    manifest = read(directory, bundle_files.MANIFEST)
    manifest["files"][name] = files.sha256(directory / name)
    seal(directory, manifest)


def seal(directory: Path, manifest: Any) -> None:
    """Write a manifest whose own digest fits."""
    text = documents.dumps({**manifest, "digest": ""})
    manifest = {**manifest, "digest": hashlib.sha256(text.encode()).hexdigest()}
    (directory / bundle_files.MANIFEST).write_text(documents.dumps(manifest, indent=1))


def _any_file(chance: Chance, directory: Path) -> Path:
    return chance.choice(sorted(path for path in directory.rglob("*") if path.is_file()))


def flip(chance: Chance, directory: Path) -> None:
    path = _any_file(chance, directory)
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 5))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    if bytes(content) == path.read_bytes():
        content[0] ^= 1
    path.write_bytes(content)


def cut(chance: Chance, directory: Path) -> None:
    path = _any_file(chance, directory)
    size = path.stat().st_size
    os.truncate(path, chance.choice((0, 1, size // 2, size - 1)))


def append(chance: Chance, directory: Path) -> None:
    with _any_file(chance, directory).open("ab") as file:
        file.write(chance.choice((b"\0", b"\n", b" ", b"{}", bytes(100_000))))


def holes(chance: Chance, directory: Path) -> None:
    """A file that claims more bytes than there is disk."""
    os.truncate(_any_file(chance, directory), 1 << 42)


def remove(chance: Chance, directory: Path) -> None:
    _any_file(chance, directory).unlink()


def rename(chance: Chance, directory: Path) -> None:
    path = _any_file(chance, directory)
    path.rename(path.with_name(chance.choice(("other", path.name.upper(), f"{path.name}~", "ü"))))


def swap(chance: Chance, directory: Path) -> None:
    first, second = _any_file(chance, directory), _any_file(chance, directory)
    while first == second:
        second = _any_file(chance, directory)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def add(chance: Chance, directory: Path) -> None:
    name = chance.choice(("evil.py", "code/evil.py", "1/saved_model.pb", "sources/x.npz", "a/b/c"))
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_any_file(chance, directory).read_bytes())


def add_many(chance: Chance, directory: Path) -> None:
    (directory / "many").mkdir()
    for number in range(10_001):
        os.mkdir(directory / "many" / str(number))


def bury(chance: Chance, directory: Path) -> None:
    """Something at the end of folders deeper than a path can be."""
    here = os.getcwd()
    try:
        os.chdir(directory)
        for _ in range(60):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        Path("evil").write_bytes(b"")
    finally:
        os.chdir(here)


def link(chance: Chance, directory: Path) -> None:
    path = _any_file(chance, directory)
    place = directory.parent / "outside"
    shutil.copy(path, place)
    path.unlink()
    path.symlink_to(chance.choice((place, "/etc/passwd", "/dev/zero", "nowhere", path.name)))


def link_folder(chance: Chance, directory: Path) -> None:
    shutil.move(directory / "sources", directory.parent / "sources")
    (directory / "sources").symlink_to(directory.parent / "sources", target_is_directory=True)


def special(chance: Chance, directory: Path) -> None:
    path = chance.choice((_any_file(chance, directory), directory / "extra"))
    path.unlink(missing_ok=True)
    draw = chance.randrange(3)
    if draw == 0:
        os.mkfifo(path)
    elif draw == 1:
        path.mkdir() if path.name != "extra" else os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as server, _folder(path.parent):
            server.bind(path.name)


@contextlib.contextmanager
def _folder(path: Path) -> Any:
    """Names of sockets are short: be where it is made."""
    here = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(here)


def value(chance: Chance, directory: Path) -> None:
    """A value in a JSON file, digests left as they were."""
    name = chance.choice(JSON_FILES)
    document = read(directory, name)
    _spoil_leaf(chance, document, STRANGE)
    (directory / name).write_text(json.dumps(document))


def text(chance: Chance, directory: Path) -> None:
    """A JSON file, its own manifest corrected, that is hardly JSON."""
    name = chance.choice(JSON_FILES)
    good = (directory / name).read_text()
    strange = chance.choice((
        "", "{", "null", "[]", "[" * 100_000, '{"a":' * 100_000, "NaN", "1e999", "\ufeff" + good,
        good.replace(":", ": NaN,", 1), good.replace("{", '{"columns": 1,', 1), "9" * 10_000,
        good[:-2], good + "{}", '"\\ud800"', "{" + '"a":1,' * 9 + '"a":1}',
    )).encode("utf-8", "surrogatepass")  # fmt: skip
    if chance.random() < 0.1:
        strange = chance.choice((good.encode("utf-16"), b"\xff\xfe", b"\x00" * 100))
    if name == bundle_files.MANIFEST:
        (directory / name).write_bytes(strange)
    else:
        reseal(directory, name, strange)


def manifest(chance: Chance, directory: Path) -> None:
    """The manifest makes no sense, and its digest fits."""
    found = read(directory, bundle_files.MANIFEST)
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    changes: list[Callable[[], Any]] = [
        lambda: found.update(task="regression" if found["task"] != "regression" else "binary"),
        lambda: found.update(task="other"),
        lambda: found.update(format=chance.choice((0, 2, "1", None, True, 1.5))),
        lambda: found.update(files={}),
        lambda: found.update(files=[]),
        lambda: found["files"].update({chance.choice(NAMES): "0" * 64}),
        lambda: found["files"].update({chance.choice(list(found["files"])): "0" * 64}),
        lambda: found["files"].update({chance.choice(list(found["files"])): 5}),
        lambda: found["files"].pop(chance.choice(list(found["files"]))),
        lambda: found.update(metrics={"test": {"auc": "high"}}),
        lambda: found.update(metrics=[deep]),
        lambda: found.update(project=None),
        lambda: found.pop(chance.choice(["project", "task", "files", "libraries"])),
        lambda: found.update(stranger=1),
    ]
    chance.choice(changes)()
    seal(directory, found)


def schema(chance: Chance, directory: Path) -> None:
    found = read(directory, "schema.json")
    column = chance.choice([c for c in found["columns"] if c["feature"]])
    other = {"numeric": "category", "boolean": "datetime", "category": "numeric"}
    changes: list[Callable[[], Any]] = [
        lambda: column.update(kind=other.get(column["kind"], "numeric")),
        lambda: column.update(name="stranger"),
        lambda: column.update(feature=False),
        lambda: found["columns"].remove(column),
        lambda: found["columns"].append(column),
        lambda: found["columns"].append({**column, "name": "new"}),
        lambda: found.update(columns=[]),
        lambda: found.update(source_columns=[]),
        lambda: found["source_columns"][0].update(kind="datetime"),
        lambda: found["target"].update(classes=[]),
        lambda: found["target"].update(classes=[False, False]),
        lambda: found["target"].update(classes=[True, False]),
        lambda: found["target"].update(classes=["no", "yes"]),
        lambda: found["target"].update(task="regression", classes=[]),
        lambda: found["target"].update(threshold=chance.choice((-1, 2, "0.5", 10**400))),
        lambda: found["target"].update(name=column["name"]),
    ]
    chance.choice(changes)()
    reseal(directory, "schema.json", found)


def transforms(chance: Chance, directory: Path) -> None:
    found = read(directory, "transforms.json")
    features, target = found["features"], found["target"]
    plain = [s for s in features["scalings"] if s["unit"] is None and not s["knots"]]
    scaling = chance.choice([s for s in plain if s["name"] == "distance"])
    ranked = next(s for s in features["scalings"] if s["knots"])
    logs = next(s for s in features["scalings"] if s["unit"])
    clock, vocabulary = features["clocks"][0], chance.choice(features["vocabularies"])
    strange = (10**400, 1e300, -1e300, 1e-300, None, "1", [], True)
    changes: list[Callable[[], Any]] = [
        lambda: scaling.update(centre=scaling["centre"] + chance.uniform(1, 1000)),
        lambda: scaling.update(spread=scaling["spread"] * chance.uniform(1.01, 5)),
        lambda: scaling.update(spread=chance.choice((0, -1, *strange))),
        lambda: scaling.update(high=scaling["low"] - 1),
        lambda: scaling.update(fill=scaling["fill"] + 50),
        lambda: scaling.update(indicator=not scaling["indicator"]),
        lambda: scaling.update(unit=chance.choice((0, -1, 1e300, 5.0))),
        lambda: scaling.update({chance.choice(("low", "high", "fill")): chance.choice(strange)}),
        lambda: scaling.update(name=chance.choice(("stranger", "seats"))),
        lambda: features["scalings"].remove(scaling),
        lambda: features["scalings"].append(scaling),
        lambda: ranked.update(knots=ranked["knots"][:-1]),
        lambda: ranked.update(knots=ranked["knots"][::-1]),
        lambda: ranked.update(lower=[2.0] * len(ranked["lower"])),
        lambda: ranked.update(upper=ranked["upper"][::-1]),
        lambda: ranked.update(knots=[], lower=[], upper=[]),
        lambda: logs.update(unit=None),
        lambda: logs.update(unit=chance.choice((0, 1e-300, 10**400, "x"))),
        lambda: clock.update(parts=chance.choice((["nonsense"], [], ["hour", "day"], ["month"]))),
        lambda: clock.update(offsets=clock["offsets"][:-1]),
        lambda: clock.update(offsets=[10**30] * len(clock["offsets"])),
        lambda: clock.update(offsets=[3_600_000_000 * 7] * len(clock["offsets"])),
        lambda: clock.update(transitions=clock["transitions"][::-1]),
        lambda: clock.update(transitions=[10**30] * len(clock["transitions"])),
        lambda: clock.update(first=10**40),
        lambda: features.update(circles={}),
        lambda: features["circles"].update(hour=features["circles"]["hour"][:5]),
        lambda: features["circles"].update(hour=[[5, 5]] * 24),
        lambda: vocabulary.update(levels=vocabulary["levels"][::-1]),
        lambda: vocabulary.update(levels=[*vocabulary["levels"], vocabulary["levels"][0]]),
        lambda: vocabulary.update(levels=[1, 2, 3]),
        lambda: vocabulary.update(levels=[]),
        lambda: vocabulary.update(name="departure"),
        lambda: features["vocabularies"].remove(vocabulary),
        lambda: target.update(task="regression"),
        lambda: target.update(spread=chance.choice((0, -1, 10**400))),
        lambda: found.update(target=None),
    ]
    chance.choice(changes)()
    reseal(directory, "transforms.json", found)


def sources(chance: Chance, directory: Path) -> None:
    found = read(directory, "sources.json")
    source = found[0]
    changes: list[Callable[[], Any]] = [
        lambda: source.update(name=chance.choice(("../evil", "", "a/b", "other"))),
        lambda: source.update(keys={"stranger": "origin"}),
        lambda: source.update(keys={"departure": "origin"}),
        lambda: source.update(keys={}),
        lambda: source.update(as_of=["origin", "hour"]),
        lambda: source.update(as_of=None),
        lambda: source.update(tolerance=chance.choice((-1, "2h", 10**400))),
        lambda: source.update(columns=source["columns"][::-1]),
        source["columns"].pop,
        lambda: source.update(online="dynamodb://x"),
        lambda: found.append(copy.deepcopy(source)),
        found.clear,
    ]
    chance.choice(changes)()
    reseal(directory, "sources.json", found)


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/evil-was-unpickled",)


def tables(chance: Chance, directory: Path) -> None:
    """The source's arrays make no sense."""
    with np.load(directory / SOURCE) as loaded:
        found = {name: loaded[name] for name in loaded.files}
    name = chance.choice(sorted(found))
    temperature = "column0.values"
    changes: list[Callable[[], Any]] = [
        lambda: found.pop(name),
        lambda: found.update({name: np.array([_Evil()], dtype=object)}),
        lambda: found.update({name: found[name].astype("U20")}),
        lambda: found.update({name: found[name].reshape(1, -1)}),
        lambda: found.update({temperature: found[temperature][:-1]}),
        lambda: found.update({temperature: found[temperature].astype(np.int8)}),
        lambda: found.update({temperature: found[temperature] + 1.0}),
        lambda: found.update({"column1.values": found["column1.values"] + np.int32(50)}),
        lambda: found.update({"positions": found["positions"][::-1]}),
        lambda: found.update({"positions": found["positions"] * 1000}),
        lambda: found.update({"positions": found["positions"] * 0}),
        lambda: found.update({"times": found["times"][::-1]}),
        lambda: found.update({"groups": found["groups"] + 10**9}),
        lambda: found.update({"key0.ends": -found["key0.ends"]}),
        lambda: found.update({"key0.bytes": found["key0.bytes"] | np.uint8(0x80)}),
    ]
    file = io.BytesIO()
    draw = chance.random()
    if draw < 0.7:
        chance.choice(changes)()
        np.savez_compressed(file, allow_pickle=True, **found)
    elif draw < 0.8:
        file.write(pickle.dumps(_Evil()))
    else:
        header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117)
        with zipfile.ZipFile(file, "w") as archive:
            for member, array in found.items():
                content = io.BytesIO()
                np.save(content, array)
                data = content.getvalue()
                if member == name:
                    data = data[:10] + header.encode() + b"\n" + data[128:]
                archive.writestr(f"{member}.npy", data)
    reseal(directory, SOURCE, file.getvalue())


def golden(chance: Chance, directory: Path) -> None:
    found = read(directory, "golden.json")
    row = chance.randrange(len(found["records"]))
    record, prediction = found["records"][row], found["predictions"][row]
    place = chance.randrange(len(found["numeric"][0]))
    near = float(np.nextafter(np.float32(found["numeric"][row][place]), np.float32(9)))
    changes: list[Callable[[], Any]] = [
        lambda: found.update(records=[], numeric=[], codes=[], outputs=[], predictions=[]),
        lambda: found.update(records=found["records"][:-1]),
        lambda: found.update(predictions=found["predictions"][1:]),
        lambda: found.update(outputs=found["outputs"][:-1]),
        lambda: record.update(stranger=1),
        lambda: record.pop("distance"),
        lambda: record.update(distance="far"),
        lambda: record.update(departure="yesterday"),
        lambda: record.update(origin=None),
        lambda: found["numeric"][row].__setitem__(place, near),
        lambda: found["numeric"][row].__setitem__(place, 1e300),
        lambda: found["numeric"][row].__setitem__(place, "1"),
        found["numeric"][row].pop,
        lambda: found["codes"][row].__setitem__(0, found["codes"][row][0] + 1),
        lambda: found["codes"][row].__setitem__(0, 1 << 40),
        lambda: found["codes"][row].__setitem__(0, -5),
        lambda: found["outputs"][row].__setitem__(0, found["outputs"][row][0] / 2),
        lambda: found["outputs"][row].append(0.5),
        lambda: prediction.update(label=not prediction["label"]),
        lambda: prediction.update(label="x"),
        lambda: prediction.update(score=prediction["score"] / 2),
        prediction.clear,
        lambda: found["predictions"].__setitem__(row, {"value": 1.0}),
    ]
    chance.choice(changes)()
    reseal(directory, "golden.json", found)


def network(chance: Chance, directory: Path) -> None:
    """The network is another one, or more than a network."""
    path = directory / bundle_files.MODEL
    model = onnx.load(path)
    graph = model.graph
    weights = chance.choice([w for w in graph.initializer if w.data_type == TensorProto.FLOAT])
    values = numpy_helper.to_array(weights)
    outside = onnx.StringStringEntryProto(key="location", value="../../../etc/passwd")

    logits = graph.node[-1].input[0]

    def big(operator: str, **given: list[int] | list[float]) -> None:
        for name, value in given.items():
            kind = np.float32 if isinstance(value[0], float) else np.int64
            graph.initializer.append(numpy_helper.from_array(np.array(value, kind), name))
        last = graph.node.pop()
        graph.node.append(helper.make_node(operator, list(given), ["big"]))
        graph.node.append(helper.make_node("ReduceSum", ["big"], ["one"], keepdims=0))
        graph.node.append(helper.make_node("Add", [logits, "one"], ["much"]))
        last.input[0] = "much"
        graph.node.append(last)

    def branch() -> None:
        inner = helper.make_graph(
            [], "inner", [], [helper.make_tensor_value_info(logits, TensorProto.FLOAT, None)]
        )
        graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=inner))

    changes: list[Callable[[], Any]] = [
        lambda: weights.CopyFrom(numpy_helper.from_array(values + np.float32(0.5), weights.name)),
        lambda: weights.CopyFrom(numpy_helper.from_array(values * np.float32("nan"), weights.name)),
        lambda: weights.CopyFrom(numpy_helper.from_array(values[: len(values) // 2], weights.name)),
        lambda: (weights.external_data.append(outside), setattr(weights, "data_location", 1)),
        lambda: weights.external_data.append(outside),
        lambda: weights.dims.append(1 << 40),
        lambda: weights.dims.insert(0, -1),
        lambda: (weights.ClearField("raw_data"), weights.dims.append(1 << 33)),
        lambda: graph.initializer.remove(weights),
        graph.node.pop,
        lambda: setattr(graph.node[-1], "domain", "evil"),
        lambda: setattr(graph.node[-1], "op_type", "Tan"),
        lambda: setattr(graph.output[0], "name", "other"),
        lambda: setattr(graph.input[0], "name", "other"),
        lambda: setattr(graph.input[0].type.tensor_type, "elem_type", TensorProto.DOUBLE),
        lambda: big("ConstantOfShape", size=[1 << 31]),
        lambda: big("OneHot", at=[0], depth=[1 << 40], values=[0.0, 1.0]),
        lambda: big("OneHot", at=[0], depth=[1 << 31], values=[0.0, 1.0]),
        branch,
        lambda: model.ClearField("graph"),
        lambda: setattr(model, "ir_version", 99),
        lambda: model.opset_import[0].__setattr__("version", 9999),
        lambda: model.functions.append(
            helper.make_function("evil", "f", ["x"], ["y"], [], [helper.make_opsetid("", 18)])
        ),
    ]
    draw = chance.random()
    if draw < 0.85:
        chance.choice(changes)()
        data = model.SerializeToString()
    else:
        data = chance.choice((b"", b"\0" * 100, chance.randbytes(5000), path.read_bytes()[:-40]))
    reseal(directory, bundle_files.MODEL, data)


def other(chance: Chance, directory: Path) -> None:
    """Files that belong to no such bundle, and are listed."""
    changes: list[tuple[str, bytes]] = [
        ("features.py", b"import os\nos.system('touch /tmp/evil-was-run')\n"),
        ("openapi.json", b"no JSON"),
        ("openapi.json", b"[]"),
        ("code/__pycache__/inference.cpython-311.pyc", b"compiled"),
        (".hidden", b"x"),
    ]
    name, content = chance.choice(changes)
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    reseal(directory, name, content)


PLAIN: dict[Mutation, int] = {
    flip: 14, cut: 6, append: 4, holes: 2, remove: 5, rename: 4, swap: 5, add: 4, add_many: 1,
    bury: 1, link: 4, link_folder: 1, special: 5, value: 8,
}  # fmt: skip
SEALED: dict[Mutation, int] = {
    text: 8, manifest: 8, schema: 10, transforms: 20, sources: 7, tables: 12, golden: 14,
    network: 18, other: 2,
}  # fmt: skip
ALL = {**PLAIN, **SEALED}


def _spoil_leaf(chance: Chance, document: Any, strange: tuple[Any, ...]) -> None:
    """One value somewhere in a document becomes another."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        part = waiting.pop()
        pairs = part.items() if isinstance(part, dict) else enumerate(part)
        for key, entry in pairs:
            if isinstance(entry, dict | list):
                waiting.append(entry)
            found.append((part, key))
    part, key = chance.choice(found)
    part[key] = chance.choice([new for new in strange if new != part[key]])


def leaf(chance: Chance, directory: Path) -> None:
    """A value in a JSON file becomes another, and all digests fit: perhaps a sound bundle."""
    name = chance.choice(("schema.json", "transforms.json", "sources.json", "golden.json"))
    document = read(directory, name)
    with contextlib.suppress(ValueError):
        near = (0.0, 1.0, -1.0, 1, 2, 100, "UA", "hour", False)
        _spoil_leaf(chance, document, (*STRANGE, *near))
        reseal(directory, name, document)


class Refusals:
    """Spoils copies of one real bundle, and looks at what becomes of them.

    Args:
        folder: empty, to work in.
        seed: of all mutations.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self._bundle = bundles.build(folder / "bundle")
        self.refused: Counter[str] = Counter()

    def wrong(self, number: int) -> str | None:
        """Why mutation `number` counts as a failure; None: it was refused as it should be."""
        chance = random.Random(f"{self._seed}-{number}")
        mutation = chance.choices(list(ALL), list(ALL.values()))[0]
        error = self._load(chance, mutation)
        if isinstance(error, handler.Model):
            return f"{mutation.__name__}: the bundle was accepted"
        if not isinstance(error, BundleError):
            return f"{mutation.__name__}: {type(error).__name__}: {error}"
        named = [name for name in (".json", ".onnx", ".npz", ".py", "bundle") if name in str(error)]
        if not named or not str(error).isprintable():
            return f"{mutation.__name__}: the place is not told: {error}"
        self.refused[mutation.__name__] += 1
        return None

    def harmful(self, number: int) -> str | None:
        """Why a small change that no digest tells is one too many; None: it is not."""
        model = self._load(random.Random(f"{self._seed}-leaf-{number}"), leaf)
        if isinstance(model, handler.Model):
            for rows in (bundles.rows(1, number), bundles.rows(40, number)):
                body = json.dumps({"instances": rows}).encode()
                try:
                    answer = handler.predict_fn(handler.input_fn(body, "application/json"), model)
                    found = json.loads(handler.output_fn(answer, None)[0])["predictions"]
                    if not all(math.isfinite(one["score"]) for one in found):
                        return "an answer is not finite"
                except Exception as error:
                    if getattr(error, "status", 500) >= 500:
                        return f"a good request ends in {type(error).__name__}: {error}"
            return None
        return None if isinstance(model, BundleError) else f"{type(model).__name__}: {model}"

    def _load(self, chance: Chance, mutation: Mutation) -> handler.Model | Exception:
        place = self._folder / "spoilt"
        place.mkdir()
        directory = bundles.copy(self._bundle, place / "bundle")
        try:
            mutation(chance, directory)
            return handler.model_fn(directory)
        except Exception as error:
            return error
        finally:
            shutil.rmtree(place)


def run(count: int, seed: int, say: Callable[[str], None]) -> bool:
    """Spoil `count` bundles, and half as many slightly; whether all went well."""
    began = said = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tampering-") as folder:
        refusals = Refusals(Path(folder), seed)
        for number in range(count):
            wrong = refusals.wrong(number) or (refusals.harmful(number) if number % 2 else None)
            if wrong:
                say(f"FAILED at bundle {number} of seed {seed}: {wrong}"[:3000])
                return False
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say(f"{number:,}/{count:,} bundles refused")
    kinds = ", ".join(f"{number} {name}" for name, number in refusals.refused.most_common())
    say(f"{count:,} spoilt bundles refused in {time.monotonic() - began:.0f} s ({kinds})")
    return True
