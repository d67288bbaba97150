"""What is asked of the facts of access (`search.standing`) outside of a search: by a log-in. Part of the store's port."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Protocol


class Standing(Protocol):
    """Raises `errors.Unavailable` when the database does not answer."""

    async def represented(self, agents: Sequence[int], at: dt.datetime, born_after: dt.date) -> list[str]:
        """Return the ids of the Patients for whom one of these (`own` of Patients) may act at a moment, by fuldmagt or, of
        who was born after a day, by custody. Whether of all types or some is for each request to find.
        """
        ...
