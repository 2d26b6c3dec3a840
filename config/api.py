"""The JSON API: one document, and the routers of the engine and the apps."""

import json
from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI, Swagger
from ninja.parser import Parser

from config.auth import GlobalKey, Member, Oneself, Reader, Staff
from config.errors import LARGEST_BODY, answer_errors, too_large
from integrity.api import imports
from integrity.api import router as integrity
from players.api import router as players
from players.exceptions import Malformed, WrongMediaType
from stats.api import router as stats
from teams.api import router as teams
from vehicles.api import router as vehicles

DESCRIPTION = """
Bikes report the distance that they count; leaderboards, reports and players are read here. So are vehicles with their
mileage, teams with what their members ask and tell each other, and everybody's own core stats. Below `/integrity` the
engine tells what of all this is true, and is asked to put right what is not.

Distances are kilometres with five places, written as text so that no reader rounds them. Errors have one form, and name
the field that is wrong. Requests are limited by the minute, for each key and, without a valid key, for each address:
status 429 says in `Retry-After` how many seconds to wait.
"""


class Json(Parser):
    """Bodies are JSON, say so, and are small. Numbers are exact: what is sent as 0.1 is not rounded to a float."""

    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type != "application/json":
            raise WrongMediaType("Send JSON, with Content-Type: application/json.", "Content-Type")
        if len(request.body) > LARGEST_BODY:
            raise too_large()
        # NaN and Infinity are no JSON but often sent: as numbers they get an answer that names their field.
        try:
            return json.loads(request.body, parse_float=Decimal, parse_constant=Decimal)
        except (ValueError, RecursionError) as error:
            raise Malformed("The body is no JSON that can be read.", "body") from error


api = NinjaAPI(
    title="Holdtrue",
    version="1",
    description=DESCRIPTION,
    parser=Json(),
    # The validator's badge would ask a foreign host; whatever the page needs is served from here.
    docs=Swagger({"validatorUrl": None}),
    docs_url="/docs",
)
api.add_router("", players)
api.add_router("/vehicles", vehicles, auth=[GlobalKey(), Staff("vehicles", "vehicle")])
api.add_router("/teams", teams, auth=[Reader(), Member()])
api.add_router("/stats", stats, auth=[Oneself()])
api.add_router("/integrity", integrity)
api.add_router("/imports", imports.imports)
answer_errors(api)
