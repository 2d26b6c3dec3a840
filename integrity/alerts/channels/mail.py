"""Messages as mails, by whatever way Django sends them."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email

from integrity.alerts.bounds import Bound
from integrity.alerts.channels.base import Channel, NotDelivered, texts
from integrity.alerts.messages import Message, subject, text
from integrity.exceptions import WrongDeclaration, sentence


@dataclass(frozen=True, kw_only=True)
class Mail(Channel):
    """to: addresses. sender: by default Django's DEFAULT_FROM_EMAIL. prefix: what its subjects begin with."""

    type: ClassVar[str] = "mail"

    to: Sequence[str]
    sender: str | None = None
    prefix: str = "[integrity]"

    @property
    def where(self) -> str:
        return ", ".join(self.to)

    def send(self, message: Message, bound: Bound) -> None:
        mail = EmailMessage(
            f"{self.prefix} {subject(message)}".strip(),
            text(message),
            self.sender,
            list(self.to),
            # Neither answered by machines, nor taken for another one when it comes twice.
            headers={"Auto-Submitted": "auto-generated", "Integrity-Delivery": message.uid},
        )
        try:
            mail.send()
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"the mail was not taken: {type(error).__name__}: {sentence(error)}") from error

    def problems(self) -> Iterable[WrongDeclaration]:
        to: Any = self.to
        if isinstance(to, str) or not isinstance(to, Sequence) or not to:
            yield WrongDeclaration(f"'to' is {to!r}, and must be a list", 'Give "to": ["ops@example.com"].')
            return
        for address in to:
            try:
                validate_email(address)
            except ValidationError:
                yield WrongDeclaration(f"'to' has {address!r}, which is no address", "Such as ops@example.com.")
        prefix: Any = self.prefix
        if not isinstance(prefix, str) or "\n" in prefix:
            yield WrongDeclaration(f"'prefix' is {prefix!r}, and must be one line", 'Such as "[shop]".')
        if self.sender is not None:
            yield from texts(self, "sender")
