"""Chance for delays, so that workers and replicas do not act in step. It has no state: forked
workers draw apart.
"""

from __future__ import annotations

import random

uniform = random.SystemRandom().uniform
