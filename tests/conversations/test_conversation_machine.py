"""Random clients, failures and workers over rows in memory: tests/support/conversation_machine.py says what
must hold.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.conversation_machine import REPORTED_IN_TIME, ConversationMachine

pytestmark = pytest.mark.slow

TestConversations = ConversationMachine.TestCase
TestConversations.settings = settings(
    REPORTED_IN_TIME, max_examples=120, stateful_step_count=50, deadline=None
)
