"""`latentbeam config`: YAML that `train --config` reads, a table on a terminal, JSON."""

import json
import re
from pathlib import Path

import pytest

from ae_models.config.configuration import Configuration, configuration_to_mapping
from ae_models.config.described import configuration_keys
from ae_models.config.model import MODEL_CONFIGS
from pipelines.commands.train import train_configuration
from tests.support.command import run_command

KINDS = sorted(MODEL_CONFIGS)


@pytest.mark.parametrize("kind", KINDS)
def test_train_reads_what_is_printed(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run_command(["config", "--model", kind], capsys)
    assert (status, err) == (0, "")
    (tmp_path / "all.yaml").write_text(out)
    found = train_configuration(kind, str(tmp_path / "all.yaml"))
    assert found == Configuration(MODEL_CONFIGS[kind]())
    changed = out.replace("latent_dim: null", "latent_dim: 5")
    (tmp_path / "all.yaml").write_text(changed)
    assert train_configuration(kind, str(tmp_path / "all.yaml")).model.latent_dim == 5


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_stands_below_its_meaning(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_command(["config", "-m", kind], capsys)
    assert all(len(line) <= 100 for line in out.splitlines())
    joined = re.sub(r"\n  # ", " ", out)
    for key in configuration_keys(kind):
        comment = re.escape(f"{key.meaning} ({key.type})")
        assert re.search(rf"{comment}\n  {key.key}: ", joined), key.path


def test_json_has_all_keys(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run_command(["config", "-m", "dae", "--json"], capsys)
    assert status == 0
    found = json.loads(out)
    assert {tuple(key) for key in found} == {("section", "key", "default", "type", "meaning")}
    mapping = configuration_to_mapping(Configuration(MODEL_CONFIGS["dae"]()))
    given = {(name, key) for name, section in mapping.items() for key in section}
    assert {(key["section"], key["key"]) for key in found} == given


def test_a_terminal_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run_command(["config"], capsys)
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    columns = {line.index("null ") for line in lines if re.match(r"  \w+ +null ", line)}
    assert len(columns) == 1, "defaults are aligned"
    assert sum(bool(re.match(r"  \w", line)) for line in lines) == len(configuration_keys("vae"))
    _, yaml, _ = run_command(["config", "--yaml"], capsys)
    assert yaml.startswith("# Defaults of `latentbeam train --model vae`.")


def test_an_unknown_kind_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_command(["config", "--model", "gan"], capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "'gan' is not one of 'ae', 'dae', 'vae'" in err
