"""One client for a process, opened at its first use: nothing is opened when a module is imported.

So `manage.py check`, a test run or a build of the image needs no spool. Copy this file into your application.
"""

import atexit
import logging
import os
from functools import lru_cache

from meditopia import Client, ClientLike, MeditopiaError

logger = logging.getLogger(__name__)

#: How long a process that ends waits for delivery. Less than the server or the orchestrator gives it.
LAST_FLUSH_S = 10.0


@lru_cache(maxsize=1)
def client() -> ClientLike:
    """The options are in the environment: MEDITOPIA_SPOOL, MEDITOPIA_BEARER_TOKEN_FILE ..."""
    if os.environ.get("MEDITOPIA_DISABLED"):
        return Client.disabled()
    opened = Client(from_env=True)
    atexit.register(deliver_the_rest)
    return opened


def deliver_the_rest() -> None:
    """For a host that loses its spool with the process. With a spool that stays, the next process delivers."""
    if not client.cache_info().currsize:
        return
    try:
        client().flush(LAST_FLUSH_S)
    except MeditopiaError as error:
        logger.warning("not all events are delivered: %s", error)


def report(token: str, user: str, event: str, value: object = None) -> bool:
    """Queues an event; what is wrong with it is logged, and costs no user a request."""
    try:
        client().enqueue(token=token, partner_user_id=user, event=event, event_value=value)
    except MeditopiaError as error:
        logger.error("an event is not queued: %s", error)
        return False
    return True
