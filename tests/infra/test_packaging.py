"""Code gets into the zip, and code without its dependencies is never deployed."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tradelake
from infra.environments import DEV
from infra.packaging import (
    INCOMPLETE,
    LIGHT_LOCK,
    PYTHON_VERSION,
    ROOT,
    RUNTIME,
    InstallError,
    copy_code,
)
from tradelake.adapters.system import code_version
from tradelake.topology import functions

_IMPORTED = """
import importlib, importlib.metadata, json, sys
before = set(sys.modules)  # what a start-up file of the environment brought in
locked, *handlers = sys.argv[1:]
owners = importlib.metadata.packages_distributions()

class OnlyLocked:
    # hides what is installed here but not there: a library may import what it finds

    def find_spec(self, name, path=None, target=None):
        held = {owner.lower().replace("_", "-") for owner in owners.get(name.split(".")[0], ())}
        if held and not held & set(json.loads(locked)) and name.split(".")[0] != "tradelake":
            raise ModuleNotFoundError(f"{name} is not in the light lock", name=name)
        return None

sys.meta_path.insert(0, OnlyLocked())
for name in handlers:
    importlib.import_module(name)
new = {name.split(".")[0] for name in set(sys.modules) - before} - {"tradelake", "functions"}
needed = {owner.lower().replace("_", "-") for name in new for owner in owners.get(name, ())}
print(json.dumps({"tradelake": sys.modules["tradelake"].__file__, "distributions": list(needed)}))
"""
SMALL = dataclasses.replace(DEV, hot_store="none")


def _rule(templates):
    return templates.raw["functions"].get("Rules", {}).get("DependenciesPresent")


@pytest.fixture(scope="module")
def offline(synthesise):
    def refuse(target: Path) -> None:
        raise InstallError("dns error: no route to the index")

    return synthesise(SMALL, refuse)


@pytest.fixture(scope="module")
def complete(synthesise):
    def install(target: Path) -> None:
        (target / "msgspec").mkdir(parents=True)
        (target / "msgspec" / "__init__.py").write_text("")
        (target / "bin").mkdir()

    return synthesise(SMALL, install)


def test_deployment_is_refused_when_dependencies_could_not_be_fetched(offline):
    templates, _ = offline
    (assertion,) = _rule(templates)["Assertions"]
    assert assertion["AssertDescription"] == INCOMPLETE
    assert assertion["Assert"] == {"Fn::Equals": [{"Ref": "LightBundle"}, "complete"]}
    assert templates.raw["functions"]["Parameters"]["LightBundle"]["Default"] == "code-only"


def test_warning_names_the_cause_when_dependencies_could_not_be_fetched(offline):
    _, folder = offline
    metadata = "".join(path.read_text() for path in folder.rglob("*.metadata.json"))
    assert "no route to the index" in metadata


def test_zip_holds_our_code_when_dependencies_could_not_be_fetched(offline):
    assert _zip(offline) >= {"tradelake", "functions"}


def test_deployment_is_allowed_when_dependencies_are_in_the_zip(complete):
    templates, _ = complete
    assert _rule(templates) is None
    assert "LightBundle" not in templates.raw["functions"]["Parameters"]
    assert _zip(complete) == {"tradelake", "functions", "msgspec"}


def test_deployment_is_refused_when_bundling_was_skipped(stages):
    assert all(_rule(templates) is not None for templates in stages.values())


def test_zip_holds_the_handlers_of_light_functions_only(tmp_path):
    copy_code(tmp_path)
    made = {path.name for path in (tmp_path / "functions").iterdir()}
    light = {item.folder for item in functions.FUNCTIONS if item.package == "light"}
    assert made <= light
    present = {item for item in light if (ROOT / "functions" / item / "handler.py").is_file()}
    assert {
        item for item in made if (tmp_path / "functions" / item / "handler.py").is_file()
    } == present
    assert list(tmp_path.rglob("__pycache__")) == []


def test_light_handlers_import_nothing_that_the_light_lock_lacks(tmp_path):
    copy_code(tmp_path)
    made = sorted(path.parent.name for path in tmp_path.glob("functions/*/handler.py"))
    assert made
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    locked = set(re.findall(r"^([a-z0-9.-]+)==", LIGHT_LOCK.read_text(), flags=re.MULTILINE))
    handlers = [f"functions.{name}.handler" for name in made]
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, json.dumps(sorted(locked)), *handlers],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tradelake"].startswith(str(tmp_path))
    assert set(found["distributions"]) - locked == set()


def test_runtime_fits_the_packages_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = project["requires-python"].removeprefix(">=").split(".")
    assert [int(part) for part in PYTHON_VERSION.split(".")] >= [int(part) for part in lowest]
    assert RUNTIME.to_string() == f"python{PYTHON_VERSION}"


def test_every_image_is_made_of_a_file_that_is_there(assembly):
    files = set()
    for path in assembly.rglob("*.assets.json"):
        for image in json.loads(path.read_text()).get("dockerImages", {}).values():
            source = image["source"]
            context = assembly / f"assembly-{path.parent.name.split('-')[-1]}" / source["directory"]
            assert (context / source["dockerFile"]).is_file()
            assert (context / "src" / "tradelake" / "topology" / "names.py").is_file()
            assert not (context / "tests").exists()
            assert source["platform"] == "linux/arm64"
            files.add(source["dockerFile"])
    assert files == {
        "containers/ingester/Dockerfile",
        "containers/backtest/Dockerfile",
        "infra/images/feed.Dockerfile",
        "infra/images/lake.Dockerfile",
    }


@pytest.mark.parametrize(
    ("image", "lock"),
    [
        ("containers/ingester/Dockerfile", "requirements/ingester.txt"),
        ("containers/backtest/Dockerfile", "requirements/backtest.txt"),
        ("infra/images/feed.Dockerfile", "requirements/ingester.txt"),
        ("infra/images/lake.Dockerfile", "requirements/lake.txt"),
    ],
)
def test_every_image_installs_its_lock_with_hashes_and_nothing_else(image, lock):
    text = (ROOT / image).read_text().replace("\\\n", " ")
    installs = re.findall(r"pip3? install ([^&\n]+)", text)
    assert len(installs) == 1
    assert {"--no-deps", "--require-hashes", "--only-binary"} <= set(installs[0].split())
    assert f"COPY {lock} " in text
    assert re.findall(r"FROM \S+python:(\d\.\d+)", text) == [PYTHON_VERSION]


def test_code_version_is_told_when_the_package_is_a_folder_on_the_path(tmp_path):
    copy_code(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from tradelake.adapters.system import code_version; print(code_version())"
    )
    without_site_packages = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(without_site_packages, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == code_version()


def test_package_and_project_have_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == tradelake.__version__


def test_backtest_image_compiles_for_the_processor_kind_it_runs_on():
    text = (ROOT / "containers/backtest/Dockerfile").read_text()
    assert text.index("NUMBA_CPU_NAME=generic") < text.index("tradelake.backtest.warm")


def test_node_lock_names_no_host():
    assert "://" not in (ROOT / "package-lock.json").read_text()


def _zip(made) -> set[str]:
    _, folder = made
    (asset,) = [path for path in folder.glob("asset.*") if (path / "tradelake").is_dir()]
    return {path.name for path in asset.iterdir()}
