"""Quantiles of dwell times by state, of a recording as pyarrow and as DuckDB (through pyarrow) read it."""
import json
import math
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

recording = pa.ipc.open_stream(pa.OSFile(sys.argv[1])).read_all()
recording.validate(full=True)

stays = recording.filter(pc.field("kind") == "transition")
stays = stays.filter(pc.is_valid(stays["dwell_ns"]))
by_state = {}
for state, dwell in zip(stays["from"].to_pylist(), stays["dwell_ns"].to_pylist()):
    by_state.setdefault(state, []).append(dwell // 1000)


def quantiles(values):
    values = sorted(values)
    return [len(values)] + [values[math.ceil(q * len(values)) - 1] for q in (0.5, 0.99)]


rows = duckdb.sql("""
    SELECT "from", count(*) AS n, list_sort(list(dwell_ns // 1000)) AS us
    FROM recording WHERE kind = 'transition' AND dwell_ns IS NOT NULL GROUP BY "from"
""").fetchall()
print(json.dumps({
    "pyarrow": {state: quantiles(values) for state, values in by_state.items()},
    "duckdb": {state: [n] + quantiles(us)[1:] for state, n, us in rows},
    "sockets": recording.filter(pc.field("kind") == "snapshot").num_rows,
    "time": str(recording["time"].type),
    "schema": recording.schema.metadata[b"tcpstate.schema"].decode(),
}))
