"""Command lines that are wrong, drawn over all commands from what click knows of them.

Each starts from a line that works, and one to three things of it are spoiled. There is no NUL
among the values: no command line can hold one.
"""

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from pipelines.cli import cli

# What Beam reads as a number, a choice or JSON, or does something with on this machine.
_BEAM = (
    *("--direct_num_workers", "--direct_running_mode", "--runner", "--parallelism"),
    *("--s3_secret_access_key", "--experiments", "--temp_location", "--setup_file"),
    *("--transform_name_mapping", "--sdk_harness_log_level_overrides", "--resource_hint"),
    *("--beam_services", "--gcs_custom_audit_entries", "--update_compatibility_version"),
    *("--type_check_additional", "--gbek", "--on_success_matcher", "--template_location"),
    *("--direct_test_splits", "--flink_version", "--job_endpoint", "--environment_type"),
)
_NUMBERS = ("", " ", "x", "nan", "inf", "-inf", "-1", "0", "1e400", "7", "1_0", "٣", "0x10")
_NUMBERS += ("9" * 5000, "9" * 19, "1,5", "--", "\udcff", "1e-400", "½", "True", "None")
_TEXTS = ("", " ", "=", "!=", "a", "a=", "=a", '"', '"=1', 'a="', "label=" + "9" * 5000)
_TEXTS += (
    "\udcff",
    "a=\udcff",
    "\udcff=a",
    "\x1b[31m",
    "\n",
    "'",
    "#",
    "\u202e",
    "a=b,",
    "label!=,",
    'label=a,b"',
    "*",
    "[",
    "x" * 100_000,
)
_TEXTS += ("label=one", "lable=1", "{}", "- a", "%s", "{0}", "../..", "-", "--", "~")
_KEYS = ("", "=", "a", "a=b", "a.b", ".=", "model.=1", "model.latent_dim", "model.latent_dim=")
_KEYS += ("model.latent_dim=" + "9" * 5000, "model.latent_dim=nan", "model.latent_dim=[1]")
_KEYS += ("model=1", "model.kind=[]", "scoring.fpr=7", "scoring.fpr=.inf", "image.channels=-1")
_KEYS += ("training.seed=-1", "training.seed=" + "9" * 30, "model.latent_dim=&a [*a]", "a.b=\udcff")
_KEYS += ("training.batch_size=1e99", "scoring.scores=[[]]", "scoring.primary={}", "x.y.z=1")
_KEYS += (
    "model.latent_dim=!!python/name:os.system",
    'model.network="\\0"',
    "image.fit=" + "[" * 9999,
)
_KEYS += (
    "image.fit=" + "[" * 9999,
    "training.epochs=2001-01-01",
    "scoring.tail=~",
    "image.height=true",
    "model.corruption=a:b",
)


@dataclasses.dataclass(frozen=True)
class Places:
    """What paths of drawn lines may be.

    bundle, run: whole ones.
    folder: an empty folder, where drawn outputs go.
    wrong: paths that are not what any flag asks for.
    """

    bundle: Path
    run: Path
    folder: Path
    wrong: tuple[str, ...]

    @classmethod
    def make(cls, folder: Path, bundle: Path, run: Path) -> "Places":
        """In a new folder."""
        wrong = folder / "wrong"
        (wrong / "empty").mkdir(parents=True)
        (wrong / "no_bundle").mkdir()
        (wrong / "no_bundle" / "manifest.json").write_text("[1]")
        for number, text in enumerate(("{", "[]", "{}", '{"format_version": 1}', "null")):
            no_run = wrong / f"no_run_{number}"
            no_run.mkdir()
            (no_run / "_SUCCESS").touch()
            (no_run / "run.json").write_text(text)
        (wrong / "a_folder").mkdir()
        (wrong / "a_folder" / "run.json").mkdir()
        (wrong / "a_folder" / "_SUCCESS").touch()
        for name, content in _FILES.items():
            (wrong / name).write_bytes(content)
        (wrong / "cycle").symlink_to(wrong / "cycle")
        (wrong / "dangling").symlink_to(wrong / "nothing")
        paths = [str(path) for path in sorted(wrong.iterdir())]
        paths += [f"{wrong}/plain.txt/below", f"{wrong}/nothing", f"{wrong}/*.none", f"{wrong}/["]
        paths += [
            "/proc/latentbeam",
            "/proc/self/mem/x",
            "/dev/null",
            "/dev/null/x",
            "\udcff/\udcfe",
        ]
        paths += ["", ".", "x" * 5000, "zz://a/b", "gs://", "s3:///", "://", "file:///nope"]
        paths += ["builtin:", "builtin:letters", f"{wrong}/arrays.npz#none", "#", "\\", "-", "~"]
        return cls(bundle, run, folder, tuple(paths))


_FILES = {
    "plain.txt": b"no image, no YAML: [",
    "binary.yaml": bytes(range(256)),
    "deep.yaml": b"[" * 20_000,
    "deep_map.yaml": b"{a: " * 5_000,
    "bomb.yaml": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n".encode()
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "cycle.yaml": b"model: &a\n  kind: *a\n",
    "list.yaml": b"- 1\n",
    "scalar.yaml": b"7\n",
    "empty.yaml": b"",
    "python.yaml": b"model: !!python/object/apply:os.system [true]\n",
    "keys.yaml": b"? [a]\n: 1\n1: 2\nmodel: 3\n",
    "number.yaml": b"training: {seed: " + b"9" * 5000 + b"}\n",
    "date.yaml": b"training: {seed: 2001-99-99}\n",
    "twice.yaml": b"model: {kind: ae, kind: vae}\n",
    "utf16.yaml": "model: {}".encode("utf-16"),
    "surrogate.yaml": b'model: "\\ud800"\n',
    "bad.parquet": b"PAR1" + b"\xff" * 100 + b"PAR1",
    "bad.npz": b"PK\x03\x04" + b"\0" * 50,
    "bad.tfrecord": b"\0" * 64,
    "bad.tar": b"a.png" + b"\0" * 1000,
    "bad.png": b"\x89PNG\r\n\x1a\n",
}


def commands() -> dict[tuple[str, ...], click.Command]:
    """All commands by the words that call them."""
    return dict(_below(cli, ()))


def _below(
    group: click.Group, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _below(command, (*words, name))
        else:
            yield (*words, name), command


def wrong_line(places: Places, number: int) -> list[str]:
    """A command line that is wrong in all likelihood; the same for the same number."""
    draw = random.Random(number)
    words, command = draw.choice(sorted(commands().items(), key=lambda item: item[0]))
    given = _right(places, command, number)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(_SPOILERS)(draw, places, command, given)
    if words == ("demo",):  # which works without any flag, for minutes
        given.append(["--output", f"{places.folder}/wrong/plain.txt/below"])
    return [*words, *(word for pair in given for word in pair)]


def _right(places: Places, command: click.Command, number: int) -> list[list[str]]:
    output = str(places.folder / f"output-{number}")
    usual = {
        "--input": "builtin:digits",
        "--output": output,
        "--scores": str(places.run),
        "--anomalous": "label=0",
        "--from": "digits/1",
        "--to": "digits/2",
        "--label": "label=1",
    }
    given = []
    for parameter in command.params:
        flag = parameter.opts[0]
        if isinstance(parameter, click.Argument):
            given.append([str(places.bundle)])
        elif parameter.required:
            is_kind = isinstance(parameter.type, click.Choice)
            usual["--model"] = "ae" if is_kind else str(places.bundle)
            given.append([flag, usual.get(flag, "1")])
        elif flag == "--epochs":  # where what was spoiled does no harm, it is soon over
            given.append([flag, "1"])
    return given


Given = list[list[str]]


def _a_value(draw: random.Random, places: Places, command: click.Command, given: Given) -> None:
    """A flag of the command with a value that it cannot use."""
    options = [parameter for parameter in command.params if parameter.opts[0] != "--json"]
    parameter = draw.choice(options)
    _set(given, parameter, draw.choice(_values_for(parameter, places)))


def _values_for(parameter: click.Parameter, places: Places) -> Sequence[str]:
    name = parameter.opts[0]
    if name == "--set":
        return _KEYS
    if name in ("--input", "--output", "--model", "--scores", "--config", "--apply", "--clusters"):
        return (*places.wrong, *_TEXTS) if parameter.type.name == "text" else _NUMBERS
    if isinstance(parameter, click.Argument):
        return (*places.wrong, *_TEXTS)
    return _TEXTS if parameter.type.name == "text" else _NUMBERS


def _set(given: Given, parameter: click.Parameter, value: str) -> None:
    flag = parameter.opts[0]
    pair = [value] if isinstance(parameter, click.Argument) else [flag, value]
    if getattr(parameter, "is_flag", False):
        pair = [flag] if value else [f"{flag}={value}"]
    given[:] = [found for found in given if found[:-1] != pair[:-1]] + [pair]


def _misspelt(draw: random.Random, places: Places, command: click.Command, given: Given) -> None:
    del places
    flags = [p.opts[0] for p in command.params if p.opts[0].startswith("--")]
    flag = draw.choice(flags or ["--help"])
    place = draw.randrange(2, len(flag))
    given.append([flag[:place] + draw.choice(("", "x", "_", "=", "\udcff")) + flag[place + 1 :]])


def _no_value(draw: random.Random, places: Places, command: click.Command, given: Given) -> None:
    del places
    given.append([draw.choice([p.opts[0] for p in command.params] + list(_BEAM))])


def _left_out(draw: random.Random, places: Places, command: click.Command, given: Given) -> None:
    del places, command
    if given:
        given.remove(draw.choice(given))


def _stray(draw: random.Random, places: Places, command: click.Command, given: Given) -> None:
    del command
    given.insert(draw.randrange(len(given) + 1), [draw.choice((*_TEXTS, *places.wrong))])


def _of_beam(draw: random.Random, places: Places, command: click.Command, given: Given) -> None:
    del command
    value = draw.choice((*_NUMBERS, *_TEXTS, *places.wrong))
    flag = draw.choice(_BEAM)
    given.append(draw.choice(([f"{flag}={value}"], [flag, value])))


def _everything(draw: random.Random, places: Places, command: click.Command, given: Given) -> None:
    """Flags that nobody gives together."""
    for parameter in draw.sample(command.params, min(4, len(command.params))):
        _set(given, parameter, draw.choice(("1", "0.5", "label", str(places.run), "ae")))


_SPOILERS: tuple[Callable[[random.Random, Places, click.Command, Given], None], ...] = (
    *(_a_value, _a_value, _a_value, _a_value, _misspelt, _no_value, _left_out, _stray),
    *(_of_beam, _of_beam, _everything),
)
