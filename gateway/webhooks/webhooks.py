"""All webhooks of a gateway: one outbox, and a delivery for each target."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import Self

from gateway.jobs.storage.outbox import Outbox
from gateway.jobs.storage.store import Store
from gateway.webhooks.delivery import Delivery, WebhookTarget
from gateway.webhooks.events import ChangeRecorder
from gateway.webhooks.post import Post
from media.net.addresses import AddressPolicy
from media.supervision import ended, supervise

log = logging.getLogger(__name__)


class Webhooks:
    """`recorder` takes what happens, from the start. `async with`, which needs an open store, delivers it."""

    def __init__(
        self, targets: Sequence[WebhookTarget], events: Collection[str], store: Store, policy: AddressPolicy
    ) -> None:
        self._targets = targets
        self._policy = policy
        self._outbox = Outbox(store, [target.key for target in targets])
        self._stack = AsyncExitStack()
        self.deliveries: list[Delivery] = []
        self.recorder = ChangeRecorder(self._outbox, events, self._awake)
        store.interrupting.append(self.recorder.interrupted)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if forgotten := await self._outbox.forget_others():
                log.warning("webhooks-forgotten", extra={"events": forgotten, "reason": "their target is not set"})
            if self._targets:
                post = await stack.enter_async_context(Post(self._policy))
                self.deliveries = [Delivery(target, self._outbox, post) for target in self._targets]
            for delivery in self.deliveries:
                task = supervise("webhooks", delivery.run, delivery.target.host)
                stack.push_async_callback(ended, task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def waiting(self) -> int:
        """How many events wait, over all targets, as last looked up."""
        return sum(delivery.waiting for delivery in self.deliveries)

    @property
    def outcomes(self) -> Counter[str]:
        """How many attempts were delivered, failed, given-up or dropped, over all targets."""
        return sum((delivery.outcomes for delivery in self.deliveries), Counter[str]())

    def _awake(self) -> None:
        for delivery in self.deliveries:
            delivery.awake()
