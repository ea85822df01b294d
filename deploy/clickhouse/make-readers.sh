#!/bin/sh
# Run once by the image of clickhouse-server, on an empty data folder: the readers of readers.sql, and the password of
# the user by whom our HTTP API reads.
set -eu
client() {
    clickhouse-client --host 127.0.0.1 --user "$CLICKHOUSE_USER" --password "$CLICKHOUSE_PASSWORD" --multiquery "$@"
}
client --queries-file /etc/neural-hive/readers.sql
hash=$(printf %s "$CLICKHOUSE_API_PASSWORD" | sha256sum | cut -d ' ' -f 1)
client --query "ALTER USER neural_hive_api IDENTIFIED WITH sha256_hash BY '$hash'"
