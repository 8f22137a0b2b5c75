-- What the gateway follows: the state table, the list of relations that changed, and the doorbell. Why it is built
-- like this, and what it costs writers, is docs/postgres.md. Run again at any time: what is missing is added, what is stored stays.
-- Needs 00_schema.sql.

-- ---- the doorbell ----

-- When it rang last, in milliseconds. A sequence, because what it says is seen at once by everybody, takes no lock that is held
-- until the commit, and leaves no dead rows behind.
create sequence if not exists sophia.doorbell_ms minvalue 0 start with 0;

-- "Look at the tables": one empty notification per 10 ms at most, whoever commits how often. Every NOTIFY takes a lock of the
-- whole cluster until its commit is on disk, so one per commit would let writers commit one by one. Who is not told of is found by
-- the gateway's poll. A clock that was set back does not silence it. Callers whom every writer pays for ask first whether it is
-- time, because an expression costs a sixth of a call.
create or replace function sophia.ring() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    now_ms bigint := date_part('epoch', clock_timestamp()) * 1000;
    ignored bigint;
begin
    if abs(now_ms - coalesce(pg_sequence_last_value('sophia.doorbell_ms'::regclass), 0)) >= 10 then
        ignored := setval('sophia.doorbell_ms'::regclass, now_ms);
        perform pg_notify('sophia_doorbell', '');
    end if;
end
$$;

-- The number of the transaction, and a ring: for defaults, which are expressions.
create or replace function sophia.ring_in() returns xid8
language plpgsql as $$
begin
    perform sophia.ring();
    return pg_current_xact_id();
end
$$;

-- ---- the state table: one row per KPI, or per row of a KPI with rows ----

-- Versions rise over all rows, for ever, and are 2 apart, so that the gateway can say "later than 7, before 9". They begin at
-- the clock's microseconds: a table that was dropped and made anew goes on above what screens remember. The first is drawn here:
-- until then last_value tells the one that is to come, and a read would take it for one that is over.
do $$
begin
    if to_regclass('sophia.kpi_state_version') is null then
        execute format('create sequence sophia.kpi_state_version increment by 2 start with %s',
                       (extract(epoch from clock_timestamp()) * 1000000)::bigint);
        perform nextval('sophia.kpi_state_version');
    end if;
end
$$;

create table if not exists sophia.kpi_state (
    field   text primary key check (length(field) between 1 and 193),
    value   jsonb check (octet_length(value::text) <= 8192),
    num     numeric check (num::text not in ('NaN', 'Infinity', '-Infinity')),
    den     numeric check (den::text not in ('NaN', 'Infinity', '-Infinity')),
    target  numeric check (target::text not in ('NaN', 'Infinity', '-Infinity')),
    base    numeric check (base::text not in ('NaN', 'Infinity', '-Infinity')),
    points  jsonb check (octet_length(points::text) <= 16384),
    state   text check (state in ('ok', 'partial', 'nodata', 'invalid', 'unreachable')),
    reason  text check (octet_length(reason) <= 160),
    as_of   timestamptz not null default now() check (isfinite(as_of)),
    deleted boolean not null default false,
    ver     bigint not null,
    chg     xid8 not null
) with (fillfactor = 70);

create index if not exists kpi_state_chg on sophia.kpi_state (chg);

comment on table sophia.kpi_state is
    'KPIs that are written, not queried: insert ... on conflict (field) do update. The value is value (JSON), or num, or num / den. '
    'ver and chg stamp themselves.';

-- What was deleted, for a day: a deletion must be readable afterwards. A row that is inserted again has the higher version.
create table if not exists sophia.kpi_state_gone (
    field text not null,
    as_of timestamptz not null default now(),
    ver   bigint not null,
    chg   xid8 not null
);

create index if not exists kpi_state_gone_chg on sophia.kpi_state_gone (chg);

-- Inserted rows are stamped by defaults, because calling a function in PL/pgSQL costs a writer more than all of these
-- expressions. A transaction gets its number before it draws a version: a read tells by the numbers which versions may
-- still be on their way. One that finds that it is time rings the doorbell.
do $$
begin
    if not exists (select from pg_attribute a
                   where a.attrelid = 'sophia.kpi_state'::regclass and a.attname = 'chg' and a.atthasdef) then
        alter table sophia.kpi_state
            alter ver set default case when pg_current_xact_id() is not null then nextval('sophia.kpi_state_version') end,
            alter chg set default case
                when abs(date_part('epoch', clock_timestamp()) * 1000 - coalesce(pg_sequence_last_value('sophia.doorbell_ms'), 0)) >= 10
                    then sophia.ring_in()
                else pg_current_xact_id() end;
    end if;
end
$$;

-- For updates, and for inserted rows that come with stamps of their own: copied, replicated, or given by a writer.
-- An update that changes nothing writes nothing: no version, no message. A new as_of is a change: it says the value still holds.
create or replace function sophia.stamp_state() returns trigger
language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if new is not distinct from old then
            return null;
        elsif new.field <> old.field then
            raise exception 'the field of a row cannot be changed' using hint = 'delete it and insert another';
        end if;
    end if;
    new.chg := pg_current_xact_id(); -- first: no version is drawn by a transaction that has no number yet
    new.ver := nextval('sophia.kpi_state_version'::regclass);
    if abs(date_part('epoch', clock_timestamp()) * 1000 - coalesce(pg_sequence_last_value('sophia.doorbell_ms'::regclass), 0)) >= 10 then
        perform sophia.ring();
    end if;
    return new;
end
$$;

create or replace function sophia.bury_state() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    this_transaction xid8 := pg_current_xact_id();
    ignored bigint;
begin
    insert into sophia.kpi_state_gone (field, ver, chg)
        values (old.field, nextval('sophia.kpi_state_version'::regclass), this_transaction);
    ignored := nextval('sophia.kpi_state_version'::regclass); -- so that sophia_restamp sees a row that is given this version
    if abs(date_part('epoch', clock_timestamp()) * 1000 - coalesce(pg_sequence_last_value('sophia.doorbell_ms'::regclass), 0)) >= 10 then
        perform sophia.ring();
    end if;
    return old;
end
$$;

create or replace function sophia.refuse_truncate() returns trigger
language plpgsql as $$
begin
    raise exception '% cannot be truncated: nobody would hear of it', tg_relid::regclass using hint = 'use delete';
end
$$;

-- ---- relations that changed ----

-- Append-only: no row that writers would wait for each other's commits on.
create table if not exists sophia.relation_change (
    relation   text not null,
    chg        xid8 not null default pg_current_xact_id(),
    changed_at timestamptz not null default now()
);

create index if not exists relation_change_chg on sophia.relation_change (chg);

-- For statement triggers: after insert or update or delete or truncate ... for each statement. A transaction notes a table once;
-- in its first 10 ms it may do so again, because to remember costs as much as to note, and most end sooner. It remembers by a
-- setting, which ends with the transaction and is taken back by a rollback to a savepoint as well.
-- It runs as its owner with the search path of the writer, because setting another one is a fifth of what it costs. So every
-- name and operator carries its schema: nothing that a writer puts on its search path may be found here.
create or replace function sophia.note_change() returns trigger
language plpgsql security definer as $$
declare
    ignored pg_catalog.text;
begin
    if pg_catalog.clock_timestamp() operator(pg_catalog.-) pg_catalog.transaction_timestamp()
        operator(pg_catalog.>) '10 ms'::pg_catalog.interval then
        if pg_catalog.current_setting(pg_catalog.concat('sophia.noted_', tg_relid), true) operator(pg_catalog.=) 'yes' then
            return null;
        end if;
        ignored := pg_catalog.set_config(pg_catalog.concat('sophia.noted_', tg_relid), 'yes', true);
    end if;
    insert into sophia.relation_change (relation) values (pg_catalog.concat(tg_table_schema, '.', tg_table_name));
    if pg_catalog.abs(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) operator(pg_catalog.*) 1000
            operator(pg_catalog.-) coalesce(pg_catalog.pg_sequence_last_value('sophia.doorbell_ms'::pg_catalog.regclass), 0))
            operator(pg_catalog.>=) 10 then
        perform sophia.ring();
    end if;
    return null;
end
$$;

-- "This relation changed", for what has no triggers: after refresh materialized view.
create or replace function sophia.note_relation(schema_name text, relation_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into sophia.relation_change (relation) values (schema_name || '.' || relation_name);
    perform sophia.ring();
end
$$;

-- ---- triggers: ALWAYS, so that rows that come by logical replication are stamped as well ----

do $$
declare
    trigger_name text;
    timing text;
begin
    -- Of an earlier layout: every inserted row was stamped by sophia_stamp, and the doorbell had a trigger of its own.
    for trigger_name in
        select t.tgname from pg_trigger t
        where t.tgrelid = 'sophia.kpi_state'::regclass
            and (t.tgname = 'sophia_ring' or (t.tgname = 'sophia_stamp' and pg_get_triggerdef(t.oid) ~ 'INSERT OR'))
    loop
        execute format('drop trigger %I on sophia.kpi_state', trigger_name);
    end loop;
    for trigger_name, timing in values
        ('sophia_stamp', 'before update on sophia.kpi_state for each row execute function sophia.stamp_state()'),
        -- Somebody else may draw in between: then the row is stamped once more, which does no harm.
        ('sophia_restamp', 'before insert on sophia.kpi_state for each row '
            'when (new.chg is distinct from pg_current_xact_id() '
            'or new.ver is distinct from pg_sequence_last_value(''sophia.kpi_state_version'')) '
            'execute function sophia.stamp_state()'),
        ('sophia_bury', 'before delete on sophia.kpi_state for each row execute function sophia.bury_state()'),
        ('sophia_truncate', 'before truncate on sophia.kpi_state for each statement execute function sophia.refuse_truncate()')
    loop
        if not exists (select from pg_trigger t
                       where t.tgrelid = 'sophia.kpi_state'::regclass and t.tgname = trigger_name) then
            execute format('create trigger %I %s', trigger_name, timing);
        end if;
        execute format('alter table sophia.kpi_state enable always trigger %I', trigger_name);
    end loop;
end
$$;

-- ---- housekeeping ----

-- Which transactions had ended at a moment: what they noted may go once everybody has had time to read it.
create table if not exists sophia.purge_mark (
    one     boolean primary key default true check (one),
    at      timestamptz not null,
    horizon xid8 not null
);

-- Called by the gateway once a minute; any number of gateways may. Notes go 5 to 10 minutes after their transaction has ended,
-- however long it was open, and tombstones after a day.
create or replace function sophia.purge() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    mark sophia.purge_mark;
begin
    if not pg_try_advisory_xact_lock(hashtext('sophia.purge')) then
        return;
    end if;
    select * into mark from sophia.purge_mark;
    if mark.at is null or mark.at not between now() - interval '5 minutes' and now() then
        delete from sophia.relation_change r
            where (r.chg < mark.horizon and mark.at < now()) or r.changed_at < now() - interval '1 day';
        insert into sophia.purge_mark (at, horizon) values (now(), pg_snapshot_xmin(pg_current_snapshot()))
            on conflict (one) do update set at = excluded.at, horizon = excluded.horizon;
    end if;
    delete from sophia.kpi_state_gone g where g.as_of < now() - interval '1 day';
end
$$;

-- ---- what to look at when values come late ----

create or replace view sophia.doctor as
-- Triggers that NOTIFY without a throttle: one per commit lets all writers of the cluster commit one by one.
select case when t.tgtype & 1 = 1 then 'error' else 'warning' end as severity,
       t.tgrelid::regclass::text || ' trigger ' || t.tgname as object,
       'sends a notification for every ' || case when t.tgtype & 1 = 1 then 'row' else 'statement' end
           || ' (function ' || p.oid::regproc::text || ')' as finding,
       'let it call sophia.ring() or use sophia.note_change()' as remedy
from pg_trigger t
join pg_proc p on p.oid = t.tgfoid
where not t.tgisinternal and p.pronamespace <> 'sophia'::regnamespace
    and p.prosrc ~* '(pg_notify\s*\(|\mnotify\s+[a-z"])'
union all
-- Transactions that hold back the horizon: reads get wider, values still arrive.
select 'warning', 'process ' || a.pid || coalesce(' of ' || a.usename, '') || coalesce(' in ' || a.datname, ''),
       'a transaction is open for ' || date_trunc('second', now() - a.xact_start)::text,
       'end it, or set idle_in_transaction_session_timeout'
from pg_stat_activity a
where a.xact_start < now() - interval '60 seconds' and (a.backend_xid is not null or a.backend_xmin is not null)
    and a.backend_type = 'client backend'
union all
select 'error', 'prepared transaction ' || x.gid, 'prepared since ' || date_trunc('second', now() - x.prepared)::text,
       'commit prepared or rollback prepared it'
from pg_prepared_xacts x
where x.prepared < now() - interval '60 seconds'
union all
select 'warning', 'replication slot ' || s.slot_name, 'nobody reads it, and it keeps old rows and log',
       'start its reader, or drop the slot'
from pg_replication_slots s
where not s.active and (s.xmin is not null or s.catalog_xmin is not null or s.restart_lsn is not null)
union all
-- Triggers of the state table that are missing or not ALWAYS.
select 'error', 'sophia.kpi_state trigger ' || wanted, 'is missing or disabled', 'run deploy/sql/install.sql again'
from unnest(array['sophia_stamp', 'sophia_restamp', 'sophia_bury', 'sophia_truncate']) as wanted
where not exists (select from pg_trigger t
                  where t.tgrelid = 'sophia.kpi_state'::regclass and t.tgname = wanted and t.tgenabled = 'A')
union all
select 'warning', t.tgrelid::regclass::text || ' trigger ' || t.tgname, 'does not fire for replicated rows',
       format('alter table %s enable always trigger %I', t.tgrelid::regclass, t.tgname)
from pg_trigger t
where t.tgfoid = 'sophia.note_change'::regproc and t.tgenabled <> 'A'
union all
-- Tables beside ones that are followed.
select 'info', c.oid::regclass::text, 'its changes are not noted, though those of other tables of this schema are',
       format('create trigger sophia_note_change after insert or update or delete or truncate on %s '
              'for each statement execute function sophia.note_change()', c.oid::regclass)
from pg_class c
where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace <> 'sophia'::regnamespace
    and exists (select from pg_trigger t join pg_class o on o.oid = t.tgrelid
                where t.tgfoid = 'sophia.note_change'::regproc and o.relnamespace = c.relnamespace)
    and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgfoid = 'sophia.note_change'::regproc)
union all
-- Stamps of another cluster (a restored dump): such rows are only seen when everything is read.
select 'error', 'sophia.kpi_state', count(*) || ' rows carry stamps of another cluster',
       'update sophia.kpi_state set as_of = as_of + interval ''1 microsecond'''
from sophia.kpi_state k
where k.chg >= pg_snapshot_xmax(pg_current_snapshot())
having count(*) > 0;

do $$ begin perform sophia.installed('state', 1); end $$;
