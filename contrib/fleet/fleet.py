"""Recordings of several hosts in one DuckDB query: python3 fleet.py HOST1.arrows HOST2.arrows …"""
import sys, duckdb, pyarrow as pa, pyarrow.ipc

def host(path):
    with pa.ipc.open_stream(path) as stream:
        table, metadata = stream.read_all(), stream.schema.metadata
    return table.append_column("host", pa.array([metadata[b"tcpstate.host"].decode()] * len(table)))

fleet = pa.concat_tables([host(path) for path in sys.argv[1:]], promote_options="permissive")
print(duckdb.sql("""
    SELECT host, "from", count(*) AS stays, quantile_disc(dwell_ns, 0.99) / 1e9 AS p99_s
    FROM fleet WHERE kind = 'transition' AND dwell_ns IS NOT NULL
    GROUP BY ALL ORDER BY p99_s DESC LIMIT 10"""))
