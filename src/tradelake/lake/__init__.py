"""Tables, writer and reader of the lake on Iceberg, Arrow and DuckDB."""
