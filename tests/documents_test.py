import dataclasses
import re
from pathlib import Path

import pytest

from samplernn_jax.config import ExperimentConfig, ModelConfig, WaveNetConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(path):
    """What GitHub calls the headings of a document."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links(path):
    links = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    return [link for link in links if "://" not in link]


def is_config_field(name):
    """Whether `--config.NAME` sets something."""
    section, _, field = name.partition(".")
    by_name = {field.name: field for field in dataclasses.fields(ExperimentConfig)}
    if not field or section not in by_name:
        return section in by_name
    kinds = [ModelConfig, WaveNetConfig] if section == "model" else [by_name[section].type]
    return any(field == known.name for kind in kinds for known in dataclasses.fields(kind))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    for link in relative_links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"--config\.([a-z_0-9.]+[a-z_0-9])", text)
    sections = "model|data|optimizer|train|sample|parallel"
    named += re.findall(rf"`((?:{sections})\.[a-z_0-9]+)=", text)
    assert [name for name in named if not is_config_field(name)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_recipe_and_command_that_is_named_exists(path):
    text = path.read_text(encoding="utf-8")
    for recipe in re.findall(r"configs/(\w+\.\w+)", text):
        assert (ROOT / "configs" / recipe).is_file(), recipe
    for command in re.findall(r"experiments\.([a-z_]+)", text):
        assert (ROOT / "experiments" / f"{command}.py").is_file(), command


def test_readme_begins_with_the_two_commands():
    blocks = re.findall(
        r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S
    )
    begin = "python3 -m venv .venv && .venv/bin/pip install -e "
    assert blocks[0] == f"{begin}. && .venv/bin/python -m experiments.train\n"
    assert blocks[1] == f'{begin}".[test]" && .venv/bin/python -m pytest\n'
