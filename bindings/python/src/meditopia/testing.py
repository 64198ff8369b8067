"""For the tests of an application: a client that keeps its events in memory.

    from meditopia.testing import RecordingClient

    client = RecordingClient()
    register_user(client, "user-1")
    assert client.events == [{"token": "t", "partner_user_id": "user-1", "event": "register", ...}]

It works where libmeditopia cannot be loaded, too; where it can, the library's own rules say what an event may be.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List

from ._client import DisabledClient
from ._event import EventLike


class RecordingClient(DisabledClient):
    """Checks events, and keeps them as the API would get them; `received_at` only if it was given."""

    def __init__(self, **options: Any) -> None:
        self.events: List[Dict[str, Any]] = []
        super().__init__(**options)

    def _took(self, events: List[EventLike], text: bytes) -> None:
        super()._took(events, text)
        for event in json.loads(text):
            self.events.append({name: value for name, value in event.items() if value is not None})

    def clear(self) -> None:
        """Forgets what was recorded."""
        del self.events[:]


__all__ = ["RecordingClient"]
