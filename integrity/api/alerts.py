"""What is wrong now, the messages that were made of it, and how each delivery fared."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Query

from integrity.alerts.listing import alert_object, alerts, given_up, state_object, states
from integrity.alerts.sending import send_again
from integrity.api.answers import AlertOut, AlertsOut
from integrity.api.asked import AlertsIn
from integrity.api.fields import Id
from integrity.api.paging import page
from integrity.api.routing import operations

Number = Annotated[Id, Path(description="The number of the alert.", examples=[3])]


@operations.get("/alerts", "Alerts", out=AlertsOut)
def list_alerts(request: HttpRequest, asked: Query[AlertsIn]) -> dict[str, Any]:
    """What is known to be wrong now, and the messages about it, the latest first."""
    found = alerts()
    if asked.since is not None:
        found = found.filter(at__gte=asked.since)
    rows, beyond = page(request, found, asked, latest_first=True)
    return {
        "now": [state_object(state) for state in states()],
        "alerts": [alert_object(alert) for alert in rows],
        "given_up": given_up(),
        "next": beyond,
    }


@operations.post("/alerts/{id}/send-again", "Send an alert again", scope="control", out=AlertOut, refuses=(404,))
def send_alert_again(request: HttpRequest, id: Number) -> dict[str, Any]:
    """What did not arrive is due again, for whoever sends next; a request does not wait for the network."""
    send_again(id)
    return alert_object(alerts().get(pk=id))
