"""How the tables in data/ were made from nycflights13's own.

    python examples/flights/prepare.py FOLDER     # flights, weather, planes, airports as .parquet

Keeps the flights that arrived and the columns known before departure, adds the target (`late`:
arrival more than 15 minutes after schedule) and one timestamp for the scheduled departure, in UTC.
`dep_time`, `dep_delay`, `arr_time`, `arr_delay` and `air_time` are known only afterwards and are
left out: a network given one of them would be reading the answer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HERE = Path(__file__).parent / "data"
LATE_AFTER_MINUTES = 15
WEATHER = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)


def instant(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """'2013-01-01T10:00:00Z' → timestamp[us, UTC]."""
    naive = pc.strptime(pc.replace_substring(text, "Z", ""), "%Y-%m-%dT%H:%M:%S", "us")
    return pc.assume_timezone(naive, "UTC")


def flights(raw: pa.Table) -> pa.Table:
    arrived = raw.filter(pc.is_valid(raw["arr_delay"]))
    minutes = pc.multiply(pc.cast(arrived["minute"], pa.int64()), 60 * 1_000_000)
    departure = pc.add(instant(arrived["time_hour"]), pc.cast(minutes, pa.duration("us")))
    table = pa.table(
        {
            "departure_scheduled": departure,
            "carrier": arrived["carrier"],
            "flight": arrived["flight"],
            "tailnum": arrived["tailnum"],
            "origin": arrived["origin"],
            "dest": arrived["dest"],
            "distance": arrived["distance"],
            "late": pc.greater(arrived["arr_delay"], LATE_AFTER_MINUTES),
        }
    )
    return table.sort_by([("departure_scheduled", "ascending"), ("flight", "ascending")])


def weather(raw: pa.Table) -> pa.Table:
    kept = {name: raw[name] for name in WEATHER}
    return pa.table({"origin": raw["origin"], "time_hour": instant(raw["time_hour"]), **kept})


def main(folder: Path) -> None:
    tables = {
        "flights": flights(pq.read_table(folder / "flights.parquet")),
        "weather": weather(pq.read_table(folder / "weather.parquet")),
        "planes": pq.read_table(folder / "planes.parquet"),
        "airports": pq.read_table(folder / "airports.parquet"),
    }
    for name, table in tables.items():
        pq.write_table(table, HERE / f"{name}.parquet", compression="zstd", compression_level=15)
        print(f"{name}.parquet: {table.num_rows} rows, {', '.join(table.column_names)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
