"""A backup of version 1, kept as it was written: two accounts, anna (whose cookies were renewed) and
ben (disabled, and refused), and two client keys, carl and dora.
"""

from __future__ import annotations

from pathlib import Path

KEPT = Path(__file__).resolve().parents[1] / "backup" / "version-1.backup"
PASSPHRASE = "the passphrase of these tests"
KEYS = {"carl": "sk-gbproxy-of-carl", "dora": "sk-gbproxy-of-dora"}
SECRETS_INSIDE = ("CSE.anna", "COS.ben", "CSE.anna-renewed", *KEYS.values())
