"""Settings -> wired use cases: the only chooser of adapters.

Every ``wire_*`` function takes the process environment as a mapping and imports the adapters it chooses lazily, so a
light function never loads pyarrow.
"""

from __future__ import annotations
