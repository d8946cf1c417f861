"""How code gets into zips and images, without Docker at synthesis.

The zip of the light functions is made by ``uv``, which fetches arm64 wheels on any machine. Where
that is impossible (no network) the zip holds our own code only; then the stack carries a
CloudFormation rule that refuses to be deployed, so that code without its dependencies can never go
out unnoticed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_

from tradelake.topology import functions

ROOT: Final = Path(__file__).resolve().parents[1]
RUNTIME: Final = lambda_.Runtime.PYTHON_3_13
PYTHON_VERSION: Final = "3.13"
LIGHT_LOCK: Final = ROOT / "requirements" / "light.txt"
INCOMPLETE: Final = (
    "synthesised without dependencies; run cdk deploy where PyPI is reachable"
    " (the zip of the light functions holds no third-party packages)"
)

_IGNORED: Final = shutil.ignore_patterns("__pycache__", "*.pyc")


class InstallError(Exception):
    """The locked dependencies could not be fetched."""


def install_locked(target: Path) -> None:
    """Install the light lock into a folder for Lambda on arm64: wheels only, hashes checked.

    Raises
    ------
    InstallError
        uv is missing, or could not fetch a package; the message is uv's.
    """
    command = [
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-progress", "--no-config"),
        *("--target", str(target), "--requirements", str(LIGHT_LOCK)),
        *("--python-version", PYTHON_VERSION, "--python-platform", "aarch64-manylinux_2_28"),
        *("--only-binary", ":all:", "--require-hashes", "--no-deps"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(done.stderr.strip() or f"uv exited with {done.returncode}")


@jsii.implements(cdk.ILocalBundling)
class LightBundle:
    """The one zip of all light functions.

    In it: ``tradelake/``, ``functions/<folder>/handler.py`` of every light function, and the
    packages of ``requirements/light.txt``; a handler is addressed as
    ``functions.<folder>.handler.handler``.

    Parameters
    ----------
    install : callable
        Installs the dependencies into a folder, or raises `InstallError`.

    Attributes
    ----------
    complete : bool
        Whether a bundle with dependencies was made; False while none was made at all.
    failure : str
        Why dependencies are missing.
    """

    def __init__(self, install: Callable[[Path], None] = install_locked) -> None:
        self.complete = False
        self.failure = "bundling was skipped"
        self._install = install

    def try_bundle(self, output_dir: str, *_options: object, **_more: object) -> bool:
        """Fill CDK's staging folder, once a synthesis.

        Always True: there is no Docker to fall back on.
        """
        target = Path(output_dir)
        try:
            self._install(target)
            self.complete = True
        except InstallError as error:
            self.failure = str(error)
        # uv leaves a lock file and console scripts, which a function never runs
        shutil.rmtree(target / "bin", ignore_errors=True)
        (target / ".lock").unlink(missing_ok=True)
        copy_code(target)
        return True

    def code(self) -> lambda_.Code:
        """Return the zip as function code; its hash follows from its content."""
        return lambda_.Code.from_asset(
            str(ROOT / "functions"),
            asset_hash_type=cdk.AssetHashType.OUTPUT,
            bundling=cdk.BundlingOptions(image=cdk.DockerImage.from_registry("none"), local=self),
        )

    def guard(self, stack: cdk.Stack) -> None:
        """Make the deployment of a stack fail with a clear message unless the bundle is complete.

        The rule compares a parameter, not two constants, since rules are made to check parameters.
        """
        if self.complete:
            return
        cdk.Annotations.of(stack).add_warning_v2(
            "tradelake:incompleteBundle", f"{INCOMPLETE}: {self.failure}"
        )
        content = cdk.CfnParameter(
            stack,
            "LightBundle",
            default="code-only",
            description="What the zip of the light functions holds; set by synthesis",
        )
        cdk.CfnRule(
            stack,
            "DependenciesPresent",
            assertions=[
                cdk.CfnRuleAssertion(
                    assert_=cdk.Fn.condition_equals(content.value_as_string, "complete"),
                    assert_description=INCOMPLETE,
                )
            ],
        )


def copy_code(target: Path) -> None:
    """Copy ``src/tradelake`` and the folders of the light functions into the zip's folder.

    A folder ``transforms`` of the project, where users keep theirs, is copied too.
    """
    if (ROOT / "transforms").is_dir():
        shutil.copytree(ROOT / "transforms", target / "transforms", ignore=_IGNORED)
    shutil.copytree(ROOT / "src" / "tradelake", target / "tradelake", ignore=_IGNORED)
    folders = {item.folder for item in functions.FUNCTIONS if item.package == "light"}
    for folder in sorted(folders):
        source = ROOT / "functions" / folder
        if source.is_dir():
            shutil.copytree(source, target / "functions" / folder, ignore=_IGNORED)


def handler_of(function: functions.Function) -> str:
    """Return the dotted path of a function's handler inside zip and image."""
    return f"functions.{function.folder}.handler.handler"


def image_context(*paths: str) -> dict[str, Any]:
    """Return keyword arguments of an arm64 image asset built from the repository's root.

    Parameters
    ----------
    *paths : str
        What its context holds beside the package, relative to the repository.
    """
    wanted = ["pyproject.toml", "README.md", "src/tradelake", *paths]
    return {
        "directory": str(ROOT),
        "exclude": ["*", *(f"!{path}" for path in wanted), "**/__pycache__", "**/*.pyc"],
        "ignore_mode": cdk.IgnoreMode.DOCKER,
        "platform": ecr_assets.Platform.LINUX_ARM64,
    }
