-- What the gateway's role may do: read, and let old notes go. Run again at any time, also after tables were added.
-- Give it to the login role of postgres.url:
--     create role gateway login password '...' in role sophia_gateway;
-- sophia.doctor sees the transactions of others only for members of pg_read_all_stats.

do $$
declare
    followed text;
begin
    if not exists (select from pg_roles where rolname = 'sophia_gateway') then
        create role sophia_gateway nologin;
    end if;
    for followed in
        select nspname from pg_namespace
        where nspname in ('sophia', 'executive_intelligence', 'gong_intelligence', 'competitive_intelligence',
                          'hubspot_intelligence', 'project_intelligence', 'knowledge_intelligence', 'ai_memory',
                          'ops_monitoring', 'cmi')
    loop
        execute format('grant usage on schema %I to sophia_gateway', followed);
        execute format('grant select on all tables in schema %I to sophia_gateway', followed);
    end loop;
end
$$;

-- Who may write the state table needs these too: a row draws a version and asks when the doorbell rang last. To ring, and
-- to note changes of other tables, is done by functions that run as their owner.
grant usage, select on sequence sophia.kpi_state_version to public;
grant select on sequence sophia.doorbell_ms to public;

revoke execute on function sophia.purge() from public;
grant execute on function sophia.purge() to sophia_gateway;

do $$ begin perform sophia.installed('roles', 1); end $$;
