"""The demo: the main job on one machine, from the exchange's socket to the report."""

from __future__ import annotations

from tradelake.local.demo.run import DemoOptions, run_demo

__all__ = ["DemoOptions", "run_demo"]
