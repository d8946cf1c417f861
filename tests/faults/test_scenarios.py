"""The quicker scenarios of ``make faults``, each in a process and a world of its own."""

import subprocess
import sys

import msgspec
import pytest

from tests.faults.run import Result
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import ROOT


def test_scenarios_have_names_of_their_own():
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["calm", "poison", "cut-mid-frame"])
def test_scenario_ends_with_a_balanced_account(name):
    command = [sys.executable, "-m", "tests.faults", "--inside", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result = msgspec.json.decode(done.stdout.splitlines()[-1], type=Result)
    assert result.why == []
    assert result.sent > 0
    assert result.bars > 0
