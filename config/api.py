"""The JSON API: one document, the routers of the apps."""

from ninja import NinjaAPI

api = NinjaAPI(title="Holdtrue", version="1", docs_url="/docs")
