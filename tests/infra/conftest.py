"""One synthesis for all tests, and a reader of templates that resolves intrinsics to strings."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

if importlib.util.find_spec("aws_cdk") is None or shutil.which("node") is None:
    # CDK's library is a Node program: without it the whole folder is left out, and it is said.
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str | None:
    """Say that the folder is left out."""
    return "tests/infra: left out, CDK needs Node" if "collect_ignore_glob" in globals() else None


ACCOUNT, REGION = "111122223333", "eu-west-1"
_PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws"}
_NAMES = (
    *("BucketName", "FunctionName", "TableName", "LogGroupName", "JobQueueName", "Name"),
    *("JobDefinitionName", "StateMachineName", "ClusterName", "ServiceName", "ConsumerName"),
    *("TopicName", "AliasName", "Family"),
)


@dataclasses.dataclass(frozen=True)
class Resource:
    stack: str
    logical_id: str
    type: str
    properties: dict[str, Any]
    deletion: str | None


class Templates:
    """Templates of one stage: references read as physical names, ARNs as ``arn:<name>``."""

    def __init__(self, folder: Path) -> None:
        self.raw = {
            json.loads((folder / "manifest.json").read_text())["artifacts"][
                path.name.removesuffix(".template.json")
            ]["displayName"].split("/")[-1]: json.loads(path.read_text())
            for path in folder.glob("*.template.json")
        }
        self._exports = {
            self._text(output["Export"]["Name"], stack): (stack, output["Value"])
            for stack, template in self.raw.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }
        self.resources = list(self._all())

    def of(self, kind: str, stack: str | None = None) -> list[Resource]:
        return [
            item for item in self.resources if item.type == kind and stack in {None, item.stack}
        ]

    def one(self, kind: str, **properties: Any) -> Resource:
        found = [
            item
            for item in self.of(kind)
            if all(item.properties.get(key) == value for key, value in properties.items())
        ]
        assert len(found) == 1, f"{len(found)} of {kind} with {properties}"
        return found[0]

    def statements(self, role: str) -> list[dict[str, Any]]:
        """Statements of the role that an ``arn:`` string stands for, inline and attached."""
        logical_id = role.removeprefix("arn:")
        roles = [item for item in self.of("AWS::IAM::Role") if item.logical_id == logical_id]
        documents = [inline["PolicyDocument"] for inline in roles[0].properties.get("Policies", [])]
        documents += [
            item.properties["PolicyDocument"]
            for item in self.of("AWS::IAM::Policy")
            if logical_id in item.properties["Roles"]
        ]
        return [statement for document in documents for statement in document["Statement"]]

    def _all(self) -> Iterator[Resource]:
        for stack, template in self.raw.items():
            for logical_id, body in template["Resources"].items():
                yield Resource(
                    stack,
                    logical_id,
                    body["Type"],
                    self.resolve(body.get("Properties", {}), stack),
                    body.get("DeletionPolicy"),
                )

    def resolve(self, value: Any, stack: str) -> Any:
        if isinstance(value, list):
            return [self.resolve(item, stack) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            return self._text(value, stack)
        return {key: self.resolve(item, stack) for key, item in value.items()}

    def _text(self, value: Any, stack: str) -> Any:
        if not isinstance(value, dict):
            return value
        ((intrinsic, argument),) = value.items()
        if intrinsic == "Ref":
            return _PSEUDO.get(argument) or self._name(argument, stack)
        if intrinsic == "Fn::GetAtt":
            name, attribute = argument
            text = self._name(name, stack)
            return f"arn:{text}" if attribute.lower().endswith("arn") else f"{text}.{attribute}"
        if intrinsic == "Fn::Join":
            return argument[0].join(str(self.resolve(item, stack)) for item in argument[1])
        if intrinsic == "Fn::ImportValue":
            owner, exported = self._exports[self.resolve(argument, stack)]
            return self.resolve(exported, owner)
        if intrinsic == "Fn::Sub" and isinstance(argument, str):
            for name, text in _PSEUDO.items():
                argument = argument.replace(f"${{{name}}}", text)
            return argument
        return {intrinsic: self.resolve(argument, stack)}

    def _name(self, logical_id: str, stack: str) -> str:
        properties = self.raw[stack]["Resources"].get(logical_id, {}).get("Properties", {})
        for key in _NAMES:
            if key in properties:
                return str(self.resolve(properties[key], stack))
        return logical_id


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cloud assembly of every environment, with a transform in each, without bundling."""
    from infra.application import application
    from infra.environments import ENVIRONMENTS

    folder = tmp_path_factory.mktemp("assembly")
    every = [dataclasses.replace(item, transforms="transforms.spread") for item in ENVIRONMENTS]
    application(every, outdir=str(folder), context={"aws:cdk:bundling-stacks": []}).synth()
    return folder


@pytest.fixture(scope="session")
def stages(assembly: Path) -> dict[str, Templates]:
    return {name: Templates(assembly / f"assembly-{name}") for name in ("dev", "prod")}


@pytest.fixture(params=["dev", "prod"])
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def templates(stages: dict[str, Templates], environment: str) -> Templates:
    return stages[environment]


@pytest.fixture(scope="session")
def synthesise(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Synthesise one environment with an installer of its own: its templates, its folder."""
    from infra.application import application
    from infra.packaging import LightBundle

    def run(environment: Any, install: Any = None) -> tuple[Templates, Path]:
        folder = tmp_path_factory.mktemp("one")
        context = {} if install else {"aws:cdk:bundling-stacks": []}
        bundle = LightBundle(install) if install else LightBundle()
        application((environment,), outdir=str(folder), context=context, bundle=bundle).synth()
        return Templates(folder / f"assembly-{environment.name}"), folder

    return run


@pytest.fixture(scope="session")
def bare(synthesise: Any) -> tuple[Templates, Path]:
    """An environment without hot store, ingester and transforms, in a fixed account."""
    from infra.environments import DEV

    settings = dataclasses.replace(
        DEV,
        account=ACCOUNT,
        region=REGION,
        hot_store="none",
        ingester_tasks=0,
        alarm_email="desk@example.org",
    )
    templates, folder = synthesise(settings)
    return templates, folder
