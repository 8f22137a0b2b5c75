-- A company to look at: what the mirror tables would hold after two months of business, up to now. Every number comes
-- from a hash of its own name, so two loads on one day give the same company; loading again changes nothing but
-- today's row and the sources' times. All companies and people are invented.
--   psql -f deploy/sql/install.sql -f deploy/sql/sample/sample.sql

begin;

-- 0..1, always the same for the same words.
create or replace function pg_temp.chance(variadic words text[]) returns double precision
language sql immutable as $$
    select ('x' || substr(md5(array_to_string(words, '/')), 1, 8))::bit(32)::bigint / 4294967296.0
$$;
-- One of a list.
create or replace function pg_temp.pick(list text[], variadic words text[]) returns text
language sql immutable as $$
    select list[1 + floor(pg_temp.chance(variadic words) * array_length(list, 1))::int]
$$;

-- ---- executive ----

insert into executive_intelligence.kpi_targets (kpi_id, period_start, target)
select 'exec.revenue_mtd', (date_trunc('month', sophia.today()) - i * interval '1 month')::date, 4200000 - i * 100000
from generate_series(-1, 3) as i
on conflict do nothing;

with days as (
    select d::date as day, pg_temp.chance('revenue', d::date::text) as luck
    from generate_series(sophia.today() - 62, sophia.today(), interval '1 day') as d
), months as (
    select day, sum(round((108000 + 52000 * luck)::numeric, 2))
                    over (partition by date_trunc('month', day) order by day) as inside,
           case when day < date_trunc('month', sophia.today() - 62)::date + interval '1 month'
                then (extract(day from sophia.today() - 62) - 1) * 134000 else 0 end as before
    from days
)
insert into executive_intelligence.kpi_rollups
select day, inside + before::numeric,
       round((4900000 + 350000 * sin((day - date '2020-01-01') / 9.0)
              + 120000 * pg_temp.chance('pipeline', day::text))::numeric, 2),
       round((77 + 3 * sin((day - date '2020-01-01') / 11.0) + 1.5 * pg_temp.chance('health', day::text))::numeric, 1),
       round((0.765 + 0.02 * sin((day - date '2020-01-01') / 13.0) + 0.01 * pg_temp.chance('win', day::text))::numeric, 4),
       round((73 + 3 * sin((day - date '2020-01-01') / 7.0) + 2 * pg_temp.chance('team', day::text))::numeric, 1),
       round((80 + 4 * sin((day - date '2020-01-01') / 8.0) + 2 * pg_temp.chance('llm', day::text))::numeric, 1),
       least(now(), day + interval '23 hours 55 minutes')
from months
on conflict (date_key) do update set computed_at = excluded.computed_at where kpi_rollups.date_key = sophia.today();

insert into executive_intelligence.customer_health_mix
select least(now(), d + interval '23 hours 55 minutes'), 312 + i / 3, 60 - i % 5, 28 - i % 4
from generate_series(sophia.today() - 29, sophia.today(), interval '1 day') with ordinality as t (d, i)
on conflict do nothing;

insert into executive_intelligence.kpi_daily
select k.kpi_id, d::date, case k.kpi_id when 'exec.deals_at_risk' then 1 + round(2 * luck)
                               else round((180000 + 240000 * luck)::numeric, 2) end
from generate_series(sophia.today() - 30, sophia.today() - 1, interval '1 day') as d
cross join lateral (select pg_temp.chance('at risk', d::date::text) as luck) l
cross join (values ('exec.deals_at_risk'), ('exec.deals_at_risk_amount')) as k (kpi_id)
on conflict do nothing;

insert into hubspot_intelligence.deals
    (deal_id, deal_name, amount, stage, probability, close_date, status, last_activity_date, risk)
values
    ('D001', 'Halden Freight, platform roll-out', 450000, 'Negotiation', 0.85, sophia.today() + 12, 'in_progress', sophia.today() - 1, 'low'),
    ('D002', 'Brightmoor Clinics, analytics', 380000, 'Proposal', 0.70, sophia.today() + 26, 'in_progress', sophia.today() - 3, 'medium'),
    ('D003', 'Castellane Retail, expansion', 275000, 'Discovery', 0.40, sophia.today() + 54, 'in_progress', sophia.today() - 6, 'high'),
    ('D004', 'Osterby Instruments, renewal', 190000, 'Proposal', 0.55, sophia.today() + 33, 'in_progress', sophia.today() - 2, 'low'),
    ('D005', 'Pinegrave Energy, pilot', 140000, 'Qualification', 0.25, sophia.today() + 71, 'in_progress', sophia.today() - 9, 'critical')
on conflict do nothing;

insert into hubspot_intelligence.deals
    (deal_id, deal_name, amount, stage, probability, close_date, status, last_activity_date, risk)
select 'D' || to_char(100 + i, 'FM000'),
       pg_temp.pick(array['Alderbrook', 'Kestrel', 'Marrowby', 'Northlea', 'Tamsin', 'Velmore', 'Wexcombe', 'Yarrow'], 'deal a', i::text)
           || ' ' || pg_temp.pick(array['Foods', 'Logistics', 'Dental', 'Optics', 'Paper', 'Shipping', 'Textiles'], 'deal b', i::text)
           || ', ' || pg_temp.pick(array['renewal', 'pilot', 'expansion', 'analytics', 'support'], 'deal c', i::text),
       round((6000 + 118000 * power(pg_temp.chance('amount', i::text), 2))::numeric, -2),
       pg_temp.pick(array['Qualification', 'Discovery', 'Proposal', 'Negotiation'], 'stage', i::text),
       round((0.1 + 0.8 * pg_temp.chance('probability', i::text))::numeric, 2),
       sophia.today() + (5 + 80 * pg_temp.chance('close', i::text))::int,
       case when i % 4 = 0 then 'won' when i % 7 = 0 then 'lost' else 'in_progress' end,
       sophia.today() - (14 * pg_temp.chance('idle', i::text))::int,
       pg_temp.pick(array['low', 'low', 'low', 'low', 'medium', 'medium', 'low', 'low', 'medium', 'low'], 'risk', i::text)
from generate_series(1, 60) as i
on conflict do nothing;

insert into project_intelligence.team_metrics
select team, round((28 + 10 * pg_temp.chance(team, week::text))::numeric, 1), 38, round((6 + 5 * pg_temp.chance('review', team, week::text))::numeric, 1),
       date_trunc('week', now()) - week * interval '1 week'
from unnest(array['delivery', 'platform', 'data', 'web']) as team, generate_series(0, 5) as week
on conflict do nothing;

-- ---- calls: 90 days, about 40 a working day ----

insert into gong_intelligence.calls
select 'call-' || to_char(at, 'YYYYMMDD') || '-' || i, 'account-' || (1 + floor(140 * pg_temp.chance('account', key))),
       at, (240 + 2400 * pg_temp.chance('duration', key))::int,
       pg_temp.pick(array['inbound', 'outbound'], 'direction', key),
       round(greatest(-1, least(1, -0.35 + 1.3 * pg_temp.chance('sentiment', key)))::numeric, 3),
       pg_temp.pick(array['won', 'won', 'lost', 'open', 'open', 'follow_up'], 'outcome', key),
       case when pg_temp.chance('mentions', key) < 0.3
            then array[pg_temp.pick(array['Pelligant', 'Pelligant', 'Aldermarck', 'Aldermarck', 'Corvenza', 'Quillstead', 'Vantrosa'], 'who', key)]
            else '{}' end,
       case when pg_temp.chance('point', key) < 0.6
            then array[pg_temp.pick(array['Every number shows its age', 'Running within a day', 'Your data stays in your database',
                                          'Priced per board, not per seat', 'Every correction leaves a trace'], 'which point', key)]
            else '{}' end,
       array[pg_temp.pick(array['Onboarding', 'Pricing', 'Integrations', 'Renewal', 'Security review', 'Reporting'], 'topic', key)],
       '{}', at + interval '20 minutes', at + interval '5 minutes'
from (
    select d + interval '7 hours' + pg_temp.chance('time', d::text, i::text) * interval '11 hours' as at,
           d::date || '-' || i as key, i
    from generate_series(sophia.today() - 90, sophia.today(), interval '1 day') as d
    cross join generate_series(1, 44) as i
    where i <= case when extract(isodow from d) > 5 then 6 else 36 + 8 * pg_temp.chance('calls', d::text) end
) c
where at <= now()
on conflict do nothing;

-- ---- mentions: 38 days, about 50 a day ----

insert into competitive_intelligence.competitor_mentions
select 'mention-' || key, who, source,
       replace(pg_temp.pick(array['Customer compares our dashboards with % and asks about export.', '% offered a discount in the second round.',
                                  'Team praises a win against % in the regional tender.', '% announces a new office.',
                                  'Review site ranks us above % for support.', 'Prospect already runs a pilot with %.'], 'text', key), '%', who),
       pg_temp.pick(array['-1', '0', '0', '1', '1'], 'feeling', key)::numeric,
       case when pg_temp.chance('threat', key) > 0.995 then 4 else 1 + floor(3 * pg_temp.chance('threat', key))::int end, at
from (
    select d + pg_temp.chance('mention at', d::text, i::text) * interval '1 day' as at, d::date || '-' || i as key,
           pg_temp.pick(array['Pelligant', 'Pelligant', 'Pelligant', 'Aldermarck', 'Aldermarck', 'Corvenza', 'Corvenza',
                              'Quillstead', 'Vantrosa'], 'mention who', d::text, i::text) as who,
           pg_temp.pick(array['calls', 'crm', 'chat', 'news', 'web', 'web', 'forum'], 'mention source', d::text, i::text) as source
    from generate_series(sophia.today() - 38, sophia.today(), interval '1 day') as d
    cross join generate_series(1, 62) as i
    where i <= 42 + 20 * pg_temp.chance('mentions of', d::text)
) m
where at <= now()
on conflict do nothing;

-- ---- knowledge ----

insert into knowledge_intelligence.documents
select 'doc-' || i, pg_temp.pick(array['page', 'ticket', 'note', 'contract'], 'kind', i::text), at,
       case when now() - at > interval '50 minutes' or (i % 3 = 0 and now() - at > interval '9 minutes') then at + interval '9 minutes' end
from (select i, now() - (pg_temp.chance('document', i::text) * 45 + 0.001) * interval '1 day' as at
      from generate_series(1, 8200) as i) d
on conflict do nothing;

insert into ai_memory.memory_records
select 'memory-' || i, pg_temp.pick(array['call', 'document', 'decision'], 'memory kind', i::text), at, at + interval '1 minute'
from (select i, now() - (pg_temp.chance('memory', i::text) * 45 + 0.001) * interval '1 day' as at
      from generate_series(1, 19500) as i) m
on conflict do nothing;

insert into ops_monitoring.etl_job_logs
select 'run-' || job || '-' || to_char(at, 'YYYYMMDDHH24MI'), job, source,
       case when failed then 'failed' else 'success' end, case when failed then 0 else (usual * (0.6 + 0.8 * luck))::bigint end,
       at, at + took * (0.7 + 0.6 * luck) * interval '1 second',
       case when failed then 'upstream closed the connection after 3 attempts' end
from (values ('crm-sync', 'crm', 34.0, 1820, 30), ('calls-transcribe', 'calls', 211.0, 96, 60), ('documents-embed', 'wiki', 88.0, 412, 30),
             ('rollups-refresh', 'warehouse', 12.0, 30, 30), ('press-scan', 'press', 48.0, 640, 60)) as j (job, source, took, usual, every)
cross join lateral generate_series(date_trunc('hour', now()) - interval '4 days', now() - interval '5 minutes', every * interval '1 minute') as at
cross join lateral (select pg_temp.chance('run', job, at::text) as luck) l
cross join lateral (select luck > 0.998 as failed) f
on conflict do nothing;

insert into ops_monitoring.source_status (source, status, last_sync, error_rate, cadence_s, checkpoint)
values ('crm', 'up', now(), 0.001, 60, null), ('calls', 'up', now(), 0, 300, 'call 20 418'), ('warehouse', 'up', now(), 0, 300, null),
       ('press', 'up', now(), 0.012, 900, null), ('wiki', 'up', now(), 0, 600, 'page 8 122'), ('tickets', 'up', now(), 0.002, 300, 'ticket 61 007')
on conflict (source) do update set last_sync = excluded.last_sync;

insert into cmi.decisions
    (decision_id, decided_at, title, decision, rationale, alternatives_rejected, confidence, owner_role, seen)
values
    ('C0', sophia.today() - interval '6 days' + interval '10 hours', 'Renewal terms for Osterby Instruments', 'Offer two years at the current price',
     'Usage grew by a fifth and the account is healthy; a rise would risk the reference.', '{"Raise by 6 %","One year with an option"}', 0.80,
     'sales lead', '{"exec.customer_health": "78.1", "exec.pipeline_value": "4,870,000"}'),
    ('C1', sophia.today() - interval '3 days' + interval '15 hours', 'Embed documents within 30 minutes', 'Add a second embedding worker',
     'The oldest waiting row passed one hour twice last week.', '{"Embed at night only"}', 0.74, 'engineering', '{"know.embedding_lag": "4,020 s"}'),
    ('C2', sophia.today() - interval '1 day' + interval '9 hours', 'Quote dates in the CRM after the outage', 'Extend all quotes of the day by one day',
     'Customers could not accept for over an hour.', '{"Handle requests one by one"}', 0.86, 'sales lead', '{"exec.pipeline_value": "4,879,000"}')
on conflict do nothing;

commit;

do $$ begin perform sophia.refresh_daily_calls(); end $$;
analyze;
