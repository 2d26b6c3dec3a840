"""An import of the toy app, and files for it."""

import json

from integrity.importing import Feed, Import, Kept, run_import
from tests.toy.squads import Circuit, Squad, SquadKey

CIRCUITS = [{"code": "N", "name": "North"}, {"code": "S", "name": "South"}]


def feeds(**squads):
    """Circuits, and squads that refer to them."""
    options = {
        "key": ["circuit", "name"],
        "columns": {"name": "name", "alias": "alias", "number": "id", "founded": "founded", "rating": "rating"},
        "references": {"circuit": {"code": "circuit"}},
        "external_id": "number",
        "vanished": {"active": False},
        "part": ("circuit", "circuit__code"),
        "kept": Kept(SquadKey, row="squad_id", key={"circuit": "circuit__code", "name": "name"}),
        "file": "squads",
    }
    return [
        Feed(Circuit, key=["code"], columns=["code", "name"], file="circuits"),
        Feed(Squad, **options | squads),
    ]


def nightly(**options):
    squads = options.pop("squads", {})
    return Import("nightly", feeds(**squads), **options).named("toy")


def squad(circuit="N", name="Oaks", id=None, alias="", founded=None, rating=None, **more):
    return {"circuit": circuit, "name": name, "id": id, "alias": alias, "founded": founded, "rating": rating, **more}


def imported(*squads, circuits=CIRCUITS, wanted=None, **options):
    """The report of an import of these squads, with the circuits N and S."""
    given = {"circuit": circuits, "squad": squads}
    return run_import(wanted or nightly(), given, **options)


def written(folder, squads, circuits=CIRCUITS):
    """A folder with the files of a feed."""
    (folder / "circuits.json").write_text(json.dumps(circuits))
    (folder / "squads.json").write_text(json.dumps(squads))
    return folder


def counts(report):
    """What became of the squads: inserted, updated, unchanged, deactivated, rejected."""
    feed = report.feeds[-1]
    return feed.inserted, feed.updated, feed.unchanged, feed.deactivated, feed.rejected


def yesterday():
    """Squads of an earlier import."""
    return imported(*(squad(name=f"Squad {i}", id=i) for i in range(1, 8)))


def tonight(**options):
    """New ones, changed ones, new numbers and one that has gone, in three batches."""
    squads = [squad(name=f"Squad {i}", id=10 - i, alias="a" if i % 2 else "") for i in range(2, 10)]
    return imported(*squads, batch_size=3, **options)
