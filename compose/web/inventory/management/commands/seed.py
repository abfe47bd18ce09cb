"""`manage.py seed`: an inventory to look at. Where there is one already, nothing is changed."""

import random
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections, transaction
from django.utils import timezone

from inventory.models import Item, Movement

_MOVEMENTS, _DAYS = 2000, 360
_LOCK = 7_240_311  # any number that nobody else takes
_ITEMS = """
Acetone|reagent|Solvent cabinet|Merck|litres|12|5
Acetonitrile|reagent|Solvent cabinet|VWR|litres|3|4
Agar|reagent|Shelf A1|Sigma-Aldrich|kg|4|1
Agarose|reagent|Shelf A1|Thermo Fisher|kg|2|1
Ammonium acetate|reagent|Shelf A2|Merck|kg|3|1
Boric acid|reagent|Shelf A2|Carl Roth|kg|6|2
Calcium chloride|reagent|Shelf A2|Carl Roth|kg|5|2
Chloroform|reagent|Solvent cabinet|Merck|litres|1|2
Citric acid|reagent|Shelf A3|Carl Roth|kg|8|2
Dimethyl sulfoxide|reagent|Solvent cabinet|Sigma-Aldrich|litres|4|2
EDTA|reagent|Shelf A3|Carl Roth|kg|2|1
Ethanol, absolute|reagent|Solvent cabinet|VWR|litres|25|10
Glycerol|reagent|Shelf A3|Merck|litres|6|2
Hydrochloric acid 37 %|reagent|Acid cabinet|Merck|litres|9|3
Isopropanol|reagent|Solvent cabinet|VWR|litres|14|6
Methanol|reagent|Solvent cabinet|VWR|litres|5|6
Nitric acid 65 %|reagent|Acid cabinet|Merck|litres|4|2
Phosphate buffer pH 7.4|reagent|Cold room|Thermo Fisher|litres|7|3
Sodium chloride|reagent|Shelf A1|Carl Roth|kg|20|5
Sodium hydroxide|reagent|Base cabinet|Carl Roth|kg|6|3
Tris base|reagent|Shelf A3|Sigma-Aldrich|kg|5|2
Trypsin|reagent|Freezer 2|Thermo Fisher|vials|18|10
Beaker 250 ml|glassware|Rack G1|Duran|pieces|32|12
Beaker 1000 ml|glassware|Rack G1|Duran|pieces|9|6
Burette 50 ml|glassware|Rack G3|Brand|pieces|7|4
Erlenmeyer flask 500 ml|glassware|Rack G2|Duran|pieces|21|10
Graduated cylinder 100 ml|glassware|Rack G2|Brand|pieces|14|6
Petri dish, glass|glassware|Rack G4|Duran|pieces|85|40
Round-bottom flask 250 ml|glassware|Rack G2|Duran|pieces|5|6
Volumetric flask 100 ml|glassware|Rack G3|Brand|pieces|16|8
Analytical balance|instrument|Weighing room|Sartorius|pieces|2|1
Centrifuge|instrument|Room 1.12|Eppendorf|pieces|3|1
Hot plate stirrer|instrument|Room 1.12|IKA|pieces|8|4
pH meter|instrument|Room 1.14|Mettler Toledo|pieces|4|2
Pipette 1000 µl|instrument|Drawer P1|Eppendorf|pieces|11|6
Thermocycler|instrument|Room 1.14|Bio-Rad|pieces|2|1
Filter paper 110 mm|consumable|Shelf C1|Whatman|boxes|6|3
Gloves, nitrile M|consumable|Shelf C2|Ansell|boxes|22|15
Parafilm|consumable|Shelf C1|Bemis|rolls|4|2
Pipette tips 1000 µl|consumable|Shelf C3|Eppendorf|boxes|9|12
"""


class Command(BaseCommand):
    """Items with a year of movements."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """All of it, or nothing."""
        with transaction.atomic():
            with connections["default"].cursor() as cursor:  # two containers may start at once
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            if Item.objects.exists():
                self.stdout.write("there are items already; nothing is changed")
                return
            rows = [line.split("|") for line in _ITEMS.strip().splitlines()]
            items = Item.objects.bulk_create(
                Item(name=name, kind=kind, location=location, supplier=supplier, unit=unit, quantity=quantity,
                     minimum=minimum)
                for name, kind, location, supplier, unit, quantity, minimum in rows
            )  # fmt: skip
            Movement.objects.bulk_create(_movements(items))
            self.stdout.write(f"{len(items)} items and {_MOVEMENTS} movements")


def _movements(items: list[Item]) -> list[Movement]:
    """The same each time, but for the day it ends on."""
    chance, now = random.Random(1), timezone.now()  # noqa: S311 - a demo's data
    made = []
    for _ in range(_MOVEMENTS):
        into = chance.random() < 0.2
        made.append(Movement(
            item=chance.choice(items), at=now - timedelta(minutes=chance.randrange(_DAYS * 24 * 60)),
            change=chance.randint(5, 20) if into else -chance.randint(1, 4), reason="delivery" if into else "taken",
        ))  # fmt: skip
    return made
