-- The mirror of the business systems: tables with the meaning of the warehouse's columns, filled by whatever
-- synchronises them. The gateway only reads them. Run again at any time: nothing is dropped, what is missing is added.
-- Needs 10_state.sql (sophia.note_change). Times are timestamptz; money is numeric(15,2); shares are 0..1; scores 0..100.
-- Ranges are not checked here: a value out of range must reach the gateway, which shows it as invalid. NaN cannot be stored.

create schema if not exists executive_intelligence;
create schema if not exists gong_intelligence;
create schema if not exists competitive_intelligence;
create schema if not exists hubspot_intelligence;
create schema if not exists project_intelligence;
create schema if not exists knowledge_intelligence;
create schema if not exists ai_memory;
create schema if not exists ops_monitoring;
create schema if not exists cmi;

-- Where a day begins and ends, whoever asks: alter database ... set sophia.time_zone = 'America/New_York'. Without it, UTC.
create or replace function sophia.time_zone() returns text
language sql stable as $$
    select coalesce(nullif(current_setting('sophia.time_zone', true), ''), 'UTC')
$$;

create or replace function sophia.day_of(moment timestamptz) returns date
language sql stable as $$
    select (moment at time zone sophia.time_zone())::date
$$;

create or replace function sophia.start_of(day date) returns timestamptz
language sql stable as $$
    select day::timestamp at time zone sophia.time_zone()
$$;

create or replace function sophia.today() returns date
language sql stable as $$
    select sophia.day_of(now())
$$;

-- One row per day, written every five minutes.
create table if not exists executive_intelligence.kpi_rollups (
    date_key                date primary key,
    revenue_mtd             numeric(15, 2) check (revenue_mtd <> 'NaN'),
    pipeline_value          numeric(15, 2) check (pipeline_value <> 'NaN'),
    customer_health_score   numeric(7, 3) check (customer_health_score <> 'NaN'),
    competitive_win_rate    numeric(9, 6) check (competitive_win_rate <> 'NaN'),
    team_productivity_score numeric(7, 3) check (team_productivity_score <> 'NaN'),
    llm_cost_efficiency     numeric(7, 3) check (llm_cost_efficiency <> 'NaN'),
    computed_at             timestamptz not null default now()
);

-- The target of a KPI for the period that begins at period_start (a month).
create table if not exists executive_intelligence.kpi_targets (
    kpi_id       text not null,
    period_start date not null,
    target       numeric(15, 2) not null check (target <> 'NaN'),
    primary key (kpi_id, period_start)
);

create table if not exists executive_intelligence.customer_health_mix (
    as_of     timestamptz primary key,
    healthy   integer not null check (healthy >= 0),
    attention integer not null check (attention >= 0),
    at_risk   integer not null check (at_risk >= 0)
);

-- The last value of a day of KPIs that cannot be computed backwards; see executive_intelligence.record_day().
create table if not exists executive_intelligence.kpi_daily (
    kpi_id   text not null,
    date_key date not null,
    value    numeric not null check (value <> 'NaN'),
    primary key (kpi_id, date_key)
);

-- Call recordings without their transcripts: those are not mirrored.
create table if not exists gong_intelligence.calls (
    call_id              text primary key,
    account_id           text not null,
    call_date            timestamptz not null,
    duration_s           integer check (duration_s >= 0),
    direction            text,
    sentiment_score      numeric(4, 3) check (sentiment_score <> 'NaN'),
    outcome_category     text,
    competitive_mentions text[] not null default '{}',
    talking_points_used  text[] not null default '{}',
    key_topics           text[] not null default '{}',
    risk_indicators      jsonb,
    embedded_at          timestamptz,
    created_at           timestamptz not null default now()
);
create index if not exists calls_by_date on gong_intelligence.calls (call_date);

-- sentiment: -1..1; sources that deliver a word use sophia.sentiment_of(). threat_level: 1 watch ... 5 critical.
create table if not exists competitive_intelligence.competitor_mentions (
    mention_id      text primary key,
    competitor_name text not null,
    source_system   text not null,
    mention_context text,
    sentiment       numeric(4, 3) check (sentiment <> 'NaN'),
    threat_level    smallint,
    detected_at     timestamptz not null default now()
);
create index if not exists mentions_by_competitor
    on competitive_intelligence.competitor_mentions (competitor_name, detected_at desc);
create index if not exists mentions_by_time on competitive_intelligence.competitor_mentions (detected_at);

create table if not exists hubspot_intelligence.deals (
    deal_id            text primary key,
    deal_name          text not null,
    amount             numeric(15, 2) check (amount <> 'NaN'),
    stage              text,
    probability        numeric(5, 4) check (probability <> 'NaN'),
    close_date         date,
    status             text not null default 'in_progress',
    last_activity_date date,
    risk               text,
    mirrored_at        timestamptz not null default now()
);
create index if not exists deals_open_by_amount on hubspot_intelligence.deals (amount desc)
    where status = 'in_progress';

create table if not exists project_intelligence.team_metrics (
    team         text not null,
    velocity     numeric(9, 2),
    planned      numeric(9, 2),
    review_hours numeric(9, 2),
    computed_at  timestamptz not null default now(),
    primary key (team, computed_at)
);

-- Counted only; the texts live in the vector store.
create table if not exists knowledge_intelligence.documents (
    doc_id      text primary key,
    kind        text not null,
    created_at  timestamptz not null default now(),
    embedded_at timestamptz
);
create index if not exists documents_by_time on knowledge_intelligence.documents (created_at);
create index if not exists documents_waiting on knowledge_intelligence.documents (created_at)
    where embedded_at is null;

create table if not exists ai_memory.memory_records (
    record_id   text primary key,
    source_type text not null,
    created_at  timestamptz not null default now(),
    embedded_at timestamptz
);
create index if not exists memory_by_time on ai_memory.memory_records (created_at);

create table if not exists ops_monitoring.etl_job_logs (
    job_id      text primary key,
    job_name    text not null,
    source      text,
    status      text not null,
    rows        bigint,
    started_at  timestamptz not null,
    finished_at timestamptz,
    error       text
);
create index if not exists etl_by_job on ops_monitoring.etl_job_logs (job_name, started_at desc);
create index if not exists etl_by_end on ops_monitoring.etl_job_logs (finished_at);

-- One row per source. last_sync moves with every successful synchronisation, whether it brought news or not:
-- it is what the age of everything counted from that source's rows is measured by.
create table if not exists ops_monitoring.source_status (
    source     text primary key,
    status     text not null,
    last_sync  timestamptz,
    error_rate numeric(7, 6) check (error_rate <> 'NaN'),
    cadence_s  integer check (cadence_s > 0),
    checkpoint text
);

create table if not exists cmi.decisions (
    decision_id           text primary key,
    decided_at            timestamptz not null default now(),
    title                 text not null,
    decision              text not null,
    rationale             text,
    alternatives_rejected text[] not null default '{}',
    confidence            numeric(5, 4) check (confidence <> 'NaN'),
    owner_role            text,
    seen                  jsonb
);
create index if not exists decisions_by_time on cmi.decisions (decided_at desc);

-- The calls of 30 days. Filled when it is created; afterwards sophia.refresh_daily_calls(), every five minutes.
create materialized view if not exists executive_intelligence.daily_calls as
select
    sophia.day_of(c.call_date)             as date_key,
    count(*)                               as total_calls,
    round(avg(c.sentiment_score), 4)       as avg_sentiment,
    count(distinct c.account_id)           as unique_accounts,
    count(*) filter (where c.competitive_mentions <> '{}') as competitors_mentioned,
    now()                                  as refreshed_at
from gong_intelligence.calls c
where c.call_date >= sophia.start_of(sophia.today() - 30) and c.call_date < sophia.start_of(sophia.today() + 1)
group by 1;

-- What a concurrent refresh needs.
create unique index if not exists daily_calls_by_date on executive_intelligence.daily_calls (date_key);

-- Triggers do not fire for a refresh, so it is told here.
create or replace function sophia.refresh_daily_calls() returns void
language plpgsql as $$
begin
    refresh materialized view concurrently executive_intelligence.daily_calls;
    perform sophia.note_relation('executive_intelligence', 'daily_calls');
end
$$;

-- When a row of the mirror was last written, for tables whose source tells no time of its own.
create or replace function sophia.stamp_mirrored() returns trigger
language plpgsql as $$
begin
    new.mirrored_at := now();
    return new;
end
$$;

-- A sentiment as a number, from the words that some sources deliver.
create or replace function sophia.sentiment_of(word text) returns numeric
language sql immutable as $$
    select case lower(word) when 'positive' then 1 when 'neutral' then 0 when 'negative' then -1 end::numeric
$$;

-- One statement trigger per mirror table: which relation changed, not what (10_state.sql). ALWAYS: rows that come by
-- logical replication count too.
do $$
declare
    relation text;
begin
    foreach relation in array array[
        'executive_intelligence.kpi_rollups', 'executive_intelligence.kpi_targets',
        'executive_intelligence.customer_health_mix', 'executive_intelligence.kpi_daily',
        'gong_intelligence.calls', 'competitive_intelligence.competitor_mentions', 'hubspot_intelligence.deals',
        'project_intelligence.team_metrics', 'knowledge_intelligence.documents', 'ai_memory.memory_records',
        'ops_monitoring.etl_job_logs', 'ops_monitoring.source_status', 'cmi.decisions'] loop
        if not exists (select from pg_trigger t
                       where t.tgrelid = relation::regclass and t.tgname = 'sophia_note_change') then
            execute format('create trigger sophia_note_change after insert or update or delete or truncate on %s '
                           'for each statement execute function sophia.note_change()', relation);
            execute format('alter table %s enable always trigger sophia_note_change', relation);
        end if;
    end loop;
    if not exists (select from pg_trigger t
                   where t.tgrelid = 'hubspot_intelligence.deals'::regclass and t.tgname = 'sophia_stamp') then
        create trigger sophia_stamp before insert or update on hubspot_intelligence.deals
            for each row execute function sophia.stamp_mirrored();
        alter table hubspot_intelligence.deals enable always trigger sophia_stamp;
    end if;
end
$$;

do $$ begin perform sophia.installed('mirror', 1); end $$;
