-- Everything the gateway needs, in one transaction. Run again at any time, e.g. after an upgrade:
--     psql "$POSTGRES_URL" -v ON_ERROR_STOP=1 -f deploy/sql/install.sql
\set ON_ERROR_STOP on
begin;
set local client_min_messages = warning;
\ir 00_schema.sql
\ir 10_state.sql
\ir 20_mirror.sql
\ir 30_readings.sql
\ir 90_roles.sql
commit;
