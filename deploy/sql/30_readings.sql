-- What the built-in boards read: views and functions behind the queries of deploy/definitions/kpis. A view with a column
-- kpi_id holds several KPIs; the gateway asks it once and tells them in one frame. Run again at any time.
-- Needs 20_mirror.sql.
--
-- as_of is the time of the source: when a row was computed, or the last time its source synchronised (heard()), so that a
-- count grows old when nobody counts any more. Points of past days lie at 00:00 UTC of their day.

-- The newest of a row's own time and the last synchronisation of any of these sources; null when neither is known.
create or replace function ops_monitoring.heard(newest timestamptz, variadic sources text[]) returns timestamptz
language sql stable as $$
    select greatest(newest, (select max(s.last_sync) from ops_monitoring.source_status s where s.source = any (sources)))
$$;

create or replace function sophia.unix_ms(moment timestamptz) returns bigint
language sql immutable as $$
    select floor(extract(epoch from moment) * 1000)::bigint
$$;

create or replace function sophia.unix_ms(day date) returns bigint
language sql immutable as $$
    select extract(epoch from day)::bigint * 1000
$$;

-- ---- executive: roll-ups ----

-- Last month's row for the same day; the last day of a shorter month stands for the days it does not have.
create or replace view executive_intelligence.headline as
with latest as (
    select r.*, (r.date_key - interval '1 month')::date as month_ago,
           date_trunc('month', r.date_key)::date as month_start,
           extract(day from date_trunc('month', r.date_key) + interval '1 month - 1 day')::numeric as month_days
    from executive_intelligence.kpi_rollups r order by r.date_key desc limit 1
), past as (
    select jsonb_agg(jsonb_build_array(sophia.unix_ms(r.date_key), r.revenue_mtd) order by r.date_key)
               filter (where r.revenue_mtd is not null) as revenue,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(r.date_key), r.pipeline_value) order by r.date_key)
               filter (where r.pipeline_value is not null) as pipeline,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(r.date_key), r.customer_health_score) order by r.date_key)
               filter (where r.customer_health_score is not null) as health,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(r.date_key), r.competitive_win_rate) order by r.date_key)
               filter (where r.competitive_win_rate is not null) as win_rate,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(r.date_key), r.team_productivity_score) order by r.date_key)
               filter (where r.team_productivity_score is not null) as productivity,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(r.date_key), r.llm_cost_efficiency) order by r.date_key)
               filter (where r.llm_cost_efficiency is not null) as llm
    from executive_intelligence.kpi_rollups r, latest l
    where r.date_key > l.date_key - 30 and r.date_key < l.date_key
), goal as (
    select t.target, round(t.target * extract(day from l.date_key)::numeric / l.month_days, 2) as pace
    from latest l join executive_intelligence.kpi_targets t
        on t.kpi_id = 'exec.revenue_mtd' and t.period_start = l.month_start
)
select k.kpi_id, k.value, k.num, k.den, l.computed_at as as_of, k.target, k.base, k.points, k.reason
from latest l
cross join past p
left join goal g on true
left join executive_intelligence.kpi_rollups day on day.date_key = l.date_key - 1
left join executive_intelligence.kpi_rollups week on week.date_key = l.date_key - 7
left join executive_intelligence.kpi_rollups month on month.date_key = l.date_key - 30
left join executive_intelligence.kpi_rollups same on same.date_key = l.month_ago
cross join lateral (values
    ('exec.revenue_mtd', l.revenue_mtd, null::numeric, null::numeric, g.pace, same.revenue_mtd, p.revenue, null),
    ('exec.pipeline_value', l.pipeline_value, null, null, null, day.pipeline_value, p.pipeline, null),
    ('exec.pipeline_coverage', null, l.pipeline_value,
        case when g.target > l.revenue_mtd then g.target - l.revenue_mtd end, null, null, null,
        case when g.target is null then 'there is no target for the month'
             when g.target <= l.revenue_mtd then 'the target of the month is reached' end),
    ('exec.customer_health', l.customer_health_score, null, null, null, week.customer_health_score, p.health, null),
    ('exec.win_rate', l.competitive_win_rate, null, null, null, month.competitive_win_rate, p.win_rate, null),
    ('exec.team_productivity', l.team_productivity_score, null, null, null, week.team_productivity_score,
        p.productivity, null),
    ('exec.llm_cost_efficiency', l.llm_cost_efficiency, null, null, null, week.llm_cost_efficiency, p.llm, null)
) as k (kpi_id, value, num, den, target, base, points, reason);

create or replace view executive_intelligence.revenue_by_day as
select r.date_key::text as key, r.revenue_mtd as value,
       round(t.target * extract(day from r.date_key)::numeric
             / extract(day from date_trunc('month', r.date_key) + interval '1 month - 1 day')::numeric, 2) as pace,
       r.computed_at as as_of
from executive_intelligence.kpi_rollups r
left join executive_intelligence.kpi_targets t
    on t.kpi_id = 'exec.revenue_mtd' and t.period_start = date_trunc('month', r.date_key)::date
where r.revenue_mtd is not null;

-- ---- executive: calls of today ----

-- A day without calls has no row: 0 calls, and no sentiment.
create or replace view executive_intelligence.calls_today as
with today as (
    select d.total_calls, d.avg_sentiment, d.unique_accounts,
           coalesce(d.refreshed_at, (select max(refreshed_at) from executive_intelligence.daily_calls)) as as_of
    from (select sophia.today() as day) c left join executive_intelligence.daily_calls d on d.date_key = c.day
), yesterday as (
    select count(*) as calls, count(distinct account_id) as accounts
    from gong_intelligence.calls
    where call_date >= sophia.start_of(sophia.today() - 1) and call_date < now() - interval '1 day'
), week as (
    select round(sum(avg_sentiment * total_calls) / nullif(sum(total_calls) filter (where avg_sentiment is not null), 0), 4)
               as sentiment
    from executive_intelligence.daily_calls
    where date_key >= sophia.today() - 7 and date_key < sophia.today()
), past as (
    select jsonb_agg(jsonb_build_array(sophia.unix_ms(date_key), total_calls) order by date_key) as calls,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(date_key), avg_sentiment) order by date_key)
               filter (where avg_sentiment is not null) as sentiment,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(date_key), unique_accounts) order by date_key) as accounts
    from executive_intelligence.daily_calls
    where date_key > sophia.today() - 30 and date_key < sophia.today()
)
select k.kpi_id, k.value, t.as_of, k.base, k.points
from today t
cross join yesterday y
cross join week w
cross join past p
cross join lateral (values
    ('exec.calls_today', coalesce(t.total_calls, 0)::numeric, y.calls::numeric, p.calls),
    ('exec.sentiment_avg', t.avg_sentiment, w.sentiment, p.sentiment),
    ('exec.accounts_touched', coalesce(t.unique_accounts, 0)::numeric, y.accounts::numeric, p.accounts)
) as k (kpi_id, value, base, points);

-- ---- executive: deals ----

create or replace view hubspot_intelligence.deals_at_risk as
with now_at_risk as (
    select count(*) filter (where d.status = 'in_progress' and d.amount > 25000 and d.risk in ('high', 'critical')) as deals,
           coalesce(sum(d.amount) filter (where d.status = 'in_progress' and d.amount > 25000
                                          and d.risk in ('high', 'critical')), 0) as amount,
           ops_monitoring.heard(max(d.mirrored_at), 'crm') as as_of
    from hubspot_intelligence.deals d
), past as (
    select kpi_id, max(value) filter (where date_key = sophia.today() - 1) as base,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(date_key), value) order by date_key) as points
    from executive_intelligence.kpi_daily
    where date_key > sophia.today() - 30 and date_key < sophia.today()
    group by kpi_id
)
select k.kpi_id, k.value, r.as_of, p.base, p.points
from now_at_risk r
cross join lateral (values
    ('exec.deals_at_risk', r.deals::numeric),
    ('exec.deals_at_risk_amount', r.amount)
) as k (kpi_id, value)
left join past p on p.kpi_id = k.kpi_id;

-- Keep what today was; for whatever runs at the end of the day, and harmless at any other time.
create or replace function executive_intelligence.record_day() returns void
language sql as $$
    insert into executive_intelligence.kpi_daily (kpi_id, date_key, value)
    select kpi_id, sophia.today(), value from hubspot_intelligence.deals_at_risk
    on conflict (kpi_id, date_key) do update set value = excluded.value
    where kpi_daily.value <> excluded.value
$$;

-- ---- competitive ----

-- One scan of 37 days of mentions, cut into 24-hour windows that end now: window 0 is the last 24 hours.
create or replace view competitive_intelligence.mention_windows as
select w.back, now() - w.back * interval '1 day' as ends_at,
       coalesce(m.mentions, 0) as mentions, coalesce(m.high_threat, 0) as high_threat, m.threat_max,
       coalesce(m.sentiment, 0) as sentiment, coalesce(m.judged, 0) as judged, m.newest
from generate_series(0, 36) as w (back)
left join (
    select floor(extract(epoch from now() - detected_at) / 86400)::int as back, count(*) as mentions,
           count(*) filter (where threat_level >= 4) as high_threat, max(threat_level) as threat_max,
           sum(sign(sentiment)) as sentiment, count(sentiment) as judged, max(detected_at) as newest
    from competitive_intelligence.competitor_mentions
    where detected_at > now() - interval '37 days' and detected_at <= now()
    group by 1
) m using (back);

create or replace view competitive_intelligence.mention_totals as
with week as (
    select back, ends_at, mentions, high_threat, threat_max, newest,
           sum(sentiment) over seven as sentiment, sum(judged) over seven as judged
    from competitive_intelligence.mention_windows
    window seven as (order by back rows between current row and 6 following)
), total as (
    select max(mentions) filter (where back = 0) as day, max(mentions) filter (where back = 1) as day_before,
           max(high_threat) filter (where back = 0) as high, max(high_threat) filter (where back = 1) as high_before,
           max(threat_max) filter (where back = 0) as threat,
           max(sentiment) filter (where back = 0) as sentiment, max(judged) filter (where back = 0) as judged,
           max(sentiment / nullif(judged, 0)) filter (where back = 7) as sentiment_before,
           avg(mentions) filter (where back between 1 and 30) as mean,
           stddev_samp(mentions) filter (where back between 1 and 30) as deviation,
           ops_monitoring.heard(max(newest), 'crm', 'calls', 'press') as as_of,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(ends_at), mentions) order by back desc)
               filter (where back between 1 and 29) as mention_points,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(ends_at), high_threat) order by back desc)
               filter (where back between 1 and 29) as high_points,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(ends_at), threat_max) order by back desc)
               filter (where back between 1 and 29 and threat_max is not null) as threat_points,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(ends_at), round(sentiment / nullif(judged, 0), 4)) order by back desc)
               filter (where back between 1 and 29 and judged > 0) as sentiment_points
    from week
), competitors as (
    select count(distinct competitor_name) filter (where detected_at > now() - interval '7 days') as active,
           count(distinct competitor_name) filter (where detected_at <= now() - interval '7 days') as before
    from competitive_intelligence.competitor_mentions
    where detected_at > now() - interval '14 days'
)
select k.kpi_id, k.value, k.num, k.den, t.as_of, k.target, k.base, k.points, k.reason
from total t
cross join competitors c
cross join lateral (values
    ('comp.mentions_24h', t.day::numeric, null::numeric, null::numeric, round(t.mean + 2 * t.deviation, 2),
        t.day_before::numeric, t.mention_points, null),
    ('comp.mentions_deviation', round((t.day - t.mean) / nullif(t.deviation, 0), 4), null, null, null, null, null,
        case when t.deviation = 0 then 'every day of 30 had as many' end),
    ('comp.high_threat_24h', t.high::numeric, null, null, null, t.high_before::numeric, t.high_points, null),
    ('comp.threat_max', t.threat::numeric, null, null, null, null, t.threat_points,
        case when t.threat is null then 'no mention in 24 hours' end),
    ('comp.net_sentiment', null, t.sentiment, t.judged, null, round(t.sentiment_before, 4), t.sentiment_points, null),
    ('comp.competitors_active', c.active::numeric, null, null, null, c.before::numeric, null, null)
) as k (kpi_id, value, num, den, target, base, points, reason);

-- A competitor stays in the league for 14 days, so that one who fell silent is seen falling.
create or replace view competitive_intelligence.league as
select competitor_name as key,
       count(*) filter (where detected_at > now() - interval '7 days') as mentions_7d,
       count(*) filter (where detected_at > now() - interval '7 days')
           - count(*) filter (where detected_at <= now() - interval '7 days') as change,
       max(threat_level) filter (where detected_at > now() - interval '7 days') as threat,
       round(avg(sign(sentiment)) filter (where detected_at > now() - interval '7 days'), 4) as sentiment,
       max(detected_at) as last_seen,
       string_agg(distinct source_system, ', ') filter (where detected_at > now() - interval '7 days') as sources,
       max(detected_at) as as_of
from competitive_intelligence.competitor_mentions
where detected_at > now() - interval '14 days'
group by competitor_name;

-- Talking points and outcomes count the calls of 90 days.
create or replace view gong_intelligence.talking_points as
select md5(point) as key, point, count(*) as uses,
       round(avg((outcome_category = 'won')::int) filter (where outcome_category in ('won', 'lost')), 4) as won,
       max(c.created_at) as as_of
from gong_intelligence.calls c cross join lateral unnest(c.talking_points_used) as point
where c.call_date > now() - interval '90 days'
group by point;

create or replace view gong_intelligence.outcomes as
select competitor || ' ' || outcome as key, competitor, outcome, count(*) as calls, max(created_at) as as_of
from (select unnest(competitive_mentions) as competitor, coalesce(outcome_category, 'open') as outcome, created_at
      from gong_intelligence.calls where call_date > now() - interval '90 days') c
group by competitor, outcome;

create or replace view gong_intelligence.topics as
select md5(topic) as key, topic,
       count(*) filter (where call_date > now() - interval '7 days') as calls_7d,
       count(*) filter (where call_date > now() - interval '7 days')
           - count(*) filter (where call_date <= now() - interval '7 days') as change,
       round(avg(sentiment_score) filter (where call_date > now() - interval '7 days'), 4) as sentiment,
       max(created_at) as as_of
from gong_intelligence.calls c cross join lateral unnest(c.key_topics) as topic
where c.call_date > now() - interval '14 days'
group by topic;

-- ---- knowledge ----

-- Times are measured up to as_of, not up to now: when the sources fall silent the number stops, and ages.
create or replace view knowledge_intelligence.document_totals as
with total as (
    select count(*) as documents, count(embedded_at) as embedded, max(created_at) as newest,
           min(created_at) filter (where embedded_at is null) as waiting_since,
           count(*) filter (where created_at <= now() - interval '24 hours') as day_before,
           ops_monitoring.heard(max(created_at), 'wiki', 'tickets') as as_of
    from knowledge_intelligence.documents
), hours as (
    select h.ends_at, t.documents - coalesce(sum(n.created) over later, 0) as documents,
           t.embedded - coalesce(sum(n.embedded) over later, 0) as embedded
    from (select date_trunc('hour', now()) - i * interval '1 hour' as ends_at from generate_series(0, 47) as i) h
    cross join total t
    left join (
        select date_trunc('hour', moment) as ends_at, count(*) filter (where is_new) as created,
               count(*) filter (where not is_new) as embedded
        from (select created_at as moment, true as is_new from knowledge_intelligence.documents
              where created_at >= date_trunc('hour', now()) - interval '48 hours'
              union all
              select embedded_at, false from knowledge_intelligence.documents
              where embedded_at >= date_trunc('hour', now()) - interval '48 hours') e
        group by 1
    ) n on n.ends_at = h.ends_at
    window later as (order by h.ends_at desc rows between unbounded preceding and current row)
), past as (
    select jsonb_agg(jsonb_build_array(sophia.unix_ms(ends_at), documents) order by ends_at) as documents,
           jsonb_agg(jsonb_build_array(sophia.unix_ms(ends_at), round(embedded::numeric / documents, 6)) order by ends_at)
               filter (where documents > 0 and embedded between 0 and documents) as coverage
    from hours
)
select k.kpi_id, k.value, k.num, k.den, t.as_of, k.base, k.points
from total t
cross join past p
cross join lateral (values
    ('know.documents', t.documents::numeric, null::numeric, null::numeric, t.day_before::numeric, p.documents),
    ('know.documents_idle', round(extract(epoch from t.as_of - t.newest)::numeric, 3), null, null, null, null),
    ('know.embedding_coverage', null, t.embedded, t.documents, null, p.coverage),
    ('know.embedding_lag', case when t.as_of is not null then
        greatest(coalesce(round(extract(epoch from t.as_of - t.waiting_since)::numeric, 3), 0), 0) end,
        null, null, null, null)
) as k (kpi_id, value, num, den, base, points);

create or replace view ai_memory.record_totals as
with total as (
    select count(*) as records, max(created_at) as newest,
           count(*) filter (where created_at <= now() - interval '24 hours') as day_before,
           ops_monitoring.heard(max(created_at), 'calls', 'wiki', 'tickets') as as_of
    from ai_memory.memory_records
), past as (
    select jsonb_agg(jsonb_build_array(sophia.unix_ms(h.ends_at), h.records) order by h.ends_at) as records
    from (
        select s.ends_at, t.records - coalesce(sum(n.created) over (order by s.ends_at desc), 0) as records
        from (select date_trunc('hour', now()) - i * interval '1 hour' as ends_at from generate_series(0, 47) as i) s
        cross join total t
        left join (select date_trunc('hour', created_at) as ends_at, count(*) as created from ai_memory.memory_records
                   where created_at >= date_trunc('hour', now()) - interval '48 hours' group by 1) n
            on n.ends_at = s.ends_at
    ) h
)
select k.kpi_id, k.value, t.as_of, k.base, k.points
from total t
cross join past p
cross join lateral (values
    ('know.memory_records', t.records::numeric, t.day_before::numeric, p.records),
    ('know.memory_idle', round(extract(epoch from t.as_of - t.newest)::numeric, 3), null, null)
) as k (kpi_id, value, base, points);

create or replace view ops_monitoring.pipeline_success as
with hours as (
    select h.ends_at, h.back, count(l.job_id) filter (where l.status = 'success') as good, count(l.job_id) as runs
    from (select now() - i * interval '1 hour' as ends_at, i as back from generate_series(0, 47) as i) h
    left join ops_monitoring.etl_job_logs l
        on l.finished_at > h.ends_at - interval '24 hours' and l.finished_at <= h.ends_at
    group by h.ends_at, h.back
)
select max(good) filter (where back = 0) as num, max(runs) filter (where back = 0) as den,
       (select max(finished_at) from ops_monitoring.etl_job_logs) as as_of,
       jsonb_agg(jsonb_build_array(sophia.unix_ms(ends_at), round(good::numeric / runs, 6)) order by ends_at)
           filter (where back > 0 and runs > 0) as points,
       case when max(runs) filter (where back = 0) = 0 then 'no run finished in 24 hours' end as reason
from hours;

create or replace view ops_monitoring.last_runs as
select distinct on (job_name) job_name as key, coalesce(finished_at, started_at) as last_run,
       round(extract(epoch from finished_at - started_at)::numeric, 3) as duration_s, rows, status,
       left(error, 160) as error, coalesce(finished_at, started_at) as as_of
from ops_monitoring.etl_job_logs
order by job_name, started_at desc;

create or replace view knowledge_intelligence.growth_by_hour as
select to_char(h.hour at time zone 'UTC', 'YYYY-MM-DD"T"HH24":00Z"') as key,
       coalesce(d.created, 0) as documents, coalesce(m.created, 0) as records,
       least(h.hour + interval '1 hour', heard.at) as as_of
from (select date_trunc('hour', now()) - i * interval '1 hour' as hour from generate_series(0, 47) as i) h
cross join (select coalesce(ops_monitoring.heard(null, 'calls', 'wiki', 'tickets'), now()) as at) heard
left join (select date_trunc('hour', created_at) as hour, count(*) as created from knowledge_intelligence.documents
           where created_at >= date_trunc('hour', now()) - interval '47 hours' group by 1) d using (hour)
left join (select date_trunc('hour', created_at) as hour, count(*) as created from ai_memory.memory_records
           where created_at >= date_trunc('hour', now()) - interval '47 hours' group by 1) m using (hour);

-- ---- history: for the history endpoint, $1 = points; oldest first ----

create or replace function executive_intelligence.rollup_history(points integer)
returns table (as_of timestamptz, revenue_mtd numeric, pipeline_value numeric, customer_health_score numeric,
               competitive_win_rate numeric, team_productivity_score numeric, llm_cost_efficiency numeric)
language sql stable as $$
    select * from (
        select r.computed_at, r.revenue_mtd, r.pipeline_value, r.customer_health_score, r.competitive_win_rate,
               r.team_productivity_score, r.llm_cost_efficiency
        from executive_intelligence.kpi_rollups r order by r.date_key desc limit points) newest
    order by 1
$$;

create or replace function executive_intelligence.call_history(points integer)
returns table (as_of timestamptz, total_calls bigint, avg_sentiment numeric, unique_accounts bigint)
language sql stable as $$
    select sophia.start_of(d.date_key), d.total_calls, d.avg_sentiment, d.unique_accounts
    from executive_intelligence.daily_calls d where d.date_key > sophia.today() - points
    order by 1
$$;

create or replace function competitive_intelligence.mention_history(points integer)
returns table (as_of timestamptz, mentions bigint, high_threat bigint, threat_max integer, net_sentiment numeric,
               competitors bigint)
language sql stable as $$
    select d.ends_at, w.mentions, w.high_threat, w.threat_max, round(s.net_sentiment, 4), s.competitors
    from (select now() - i * interval '1 day' as ends_at from generate_series(0, points - 1) as i) d
    cross join lateral (
        select count(*) as mentions, count(*) filter (where m.threat_level >= 4) as high_threat,
               max(m.threat_level)::int as threat_max
        from competitive_intelligence.competitor_mentions m
        where m.detected_at > d.ends_at - interval '1 day' and m.detected_at <= d.ends_at) w
    cross join lateral (
        select avg(sign(m.sentiment)) as net_sentiment, count(distinct m.competitor_name) as competitors
        from competitive_intelligence.competitor_mentions m
        where m.detected_at > d.ends_at - interval '7 days' and m.detected_at <= d.ends_at) s
    order by 1
$$;

create or replace function gong_intelligence.exposure_history(points integer)
returns table (as_of timestamptz, accounts bigint)
language sql stable as $$
    select d.ends_at, (select count(distinct c.account_id) from gong_intelligence.calls c
                       where c.call_date > d.ends_at - interval '30 days' and c.call_date <= d.ends_at
                         and c.competitive_mentions <> '{}')
    from (select now() - i * interval '1 day' as ends_at from generate_series(0, points - 1) as i) d
    order by 1
$$;

create or replace function knowledge_intelligence.document_history(points integer)
returns table (as_of timestamptz, documents bigint, coverage numeric)
language sql stable as $$
    select h.ends_at, d.documents, round(d.embedded::numeric / nullif(d.documents, 0), 6)
    from (select now() - i * interval '1 hour' as ends_at from generate_series(0, points - 1) as i) h
    cross join lateral (select count(*) as documents, count(*) filter (where t.embedded_at <= h.ends_at) as embedded
                        from knowledge_intelligence.documents t where t.created_at <= h.ends_at) d
    order by 1
$$;

create or replace function ai_memory.record_history(points integer)
returns table (as_of timestamptz, records bigint)
language sql stable as $$
    select h.ends_at, (select count(*) from ai_memory.memory_records r where r.created_at <= h.ends_at)
    from (select now() - i * interval '1 hour' as ends_at from generate_series(0, points - 1) as i) h
    order by 1
$$;

create or replace function ops_monitoring.success_history(points integer)
returns table (as_of timestamptz, success numeric)
language sql stable as $$
    select h.ends_at, (select round(avg((l.status = 'success')::int), 6) from ops_monitoring.etl_job_logs l
                       where l.finished_at > h.ends_at - interval '24 hours' and l.finished_at <= h.ends_at)
    from (select now() - i * interval '1 hour' as ends_at from generate_series(0, points - 1) as i) h
    order by 1
$$;

do $$ begin perform sophia.installed('readings', 1); end $$;
