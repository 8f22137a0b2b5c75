-- The schema of everything that Sophia Gateway needs in a database, and which version of each part is installed.
-- Run again at any time. Needs PostgreSQL 13 or newer.

do $$
begin
    if current_setting('server_version_num')::int < 130000 then
        raise exception 'PostgreSQL % is too old: 13 or newer is needed', current_setting('server_version');
    end if;
    if pg_is_in_recovery() then
        raise exception 'this server is a standby: install on the primary';
    end if;
end
$$;

create schema if not exists sophia;

create table if not exists sophia.schema_version (
    part       text primary key,
    version    integer not null,
    applied_at timestamptz not null default now()
);

-- Each file ends with it. A database that is ahead of the file is left alone: the gateway's files are older then.
create or replace function sophia.installed(part_name text, part_version integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from sophia.schema_version v where v.part = part_name and v.version > part_version) then
        raise exception 'a newer version of % is installed than this file brings', part_name;
    end if;
    insert into sophia.schema_version as v (part, version) values (part_name, part_version)
        on conflict (part) do update set version = excluded.version, applied_at = now()
        where v.version <> excluded.version;
end
$$;

do $$ begin perform sophia.installed('schema', 1); end $$;
