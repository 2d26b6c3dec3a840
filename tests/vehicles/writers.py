"""Four ways to write a log, so that what holds for one is asked of all: the ORM, bulk, raw SQL and COPY."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from tests.vehicles.factories import day
from vehicles.models import Vehicle, VehicleEvent

COLUMNS = ("vehicle_id", "occurred_at", "miles", "type", "created_at")


@dataclass(frozen=True)
class Row:
    """An event `passed` days after the first, entered as the `entered`-th."""

    vehicle: Vehicle
    passed: float
    miles: int | None
    entered: int = 0

    @property
    def values(self) -> tuple[Any, ...]:
        created = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=self.entered)
        return (self.vehicle.pk, day(self.passed), self.miles, "odometer", created)


class Orm:
    """Row by row, as a form does."""

    def insert(self, rows: Sequence[Row]) -> None:
        for row in rows:
            VehicleEvent.objects.create(**dict(zip(COLUMNS, row.values, strict=True)))

    def update(self, where: dict[str, Any], **values: Any) -> None:
        for event in VehicleEvent.objects.filter(**where):
            for field, value in values.items():
                setattr(event, field, value)
            event.save()

    def delete(self, where: dict[str, Any]) -> None:
        for event in VehicleEvent.objects.filter(**where):
            event.delete()

    def override(self, vehicle: Vehicle, mileage: int | None) -> None:
        vehicle.current_mileage_override = mileage
        vehicle.save()


class Bulk(Orm):
    """Many rows at a time, past save()."""

    def insert(self, rows: Sequence[Row]) -> None:
        VehicleEvent.objects.bulk_create(VehicleEvent(**dict(zip(COLUMNS, row.values, strict=True))) for row in rows)

    def update(self, where: dict[str, Any], **values: Any) -> None:
        VehicleEvent.objects.filter(**where).update(**values)

    def delete(self, where: dict[str, Any]) -> None:
        VehicleEvent.objects.filter(**where)._raw_delete("default")

    def override(self, vehicle: Vehicle, mileage: int | None) -> None:
        Vehicle.objects.filter(pk=vehicle.pk).update(current_mileage_override=mileage)


class Sql(Orm):
    """Another service, which knows no Django."""

    def insert(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._run(
                f"INSERT INTO vehicles_vehicleevent ({', '.join(COLUMNS)}) VALUES (%s, %s, %s, %s, %s)", row.values
            )

    def update(self, where: dict[str, Any], **values: Any) -> None:
        sets = ", ".join(f"{column} = %s" for column in values)
        condition, params = self._where(where)
        self._run(f"UPDATE vehicles_vehicleevent SET {sets} WHERE {condition}", (*values.values(), *params))

    def delete(self, where: dict[str, Any]) -> None:
        condition, params = self._where(where)
        self._run(f"DELETE FROM vehicles_vehicleevent WHERE {condition}", params)

    def override(self, vehicle: Vehicle, mileage: int | None) -> None:
        self._run("UPDATE vehicles_vehicle SET current_mileage_override = %s WHERE id = %s", (mileage, vehicle.pk))

    @staticmethod
    def _where(where: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
        return " AND ".join(f"{column} = %s" for column in where), tuple(where.values())

    @staticmethod
    def _run(sql: str, params: Sequence[Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)


class Copy(Sql):
    """A loader: rows come by COPY, everything else as raw SQL."""

    def insert(self, rows: Sequence[Row]) -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY vehicles_vehicleevent ({', '.join(COLUMNS)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row.values)


WRITERS = {"orm": Orm(), "bulk": Bulk(), "sql": Sql(), "copy": Copy()}
