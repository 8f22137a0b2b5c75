/* What deploy/sql promises to the gateway and to those who write, without a gateway. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { installSchema, upsert } from '../support/sophia_schema.mjs';
import { until } from '../support/waiting.mjs';

let postgres;
before(async () => {
    postgres = await startPostgres();
    await installSchema(postgres);
    await postgres.sql(`create table orders (id int primary key, n int);
        create trigger sophia_note_change after insert or update or delete or truncate on orders
            for each statement execute function sophia.note_change();
        alter table orders enable always trigger sophia_note_change`);
});
afterEach(() => postgres.sql('delete from sophia.kpi_state; delete from sophia.kpi_state_gone; truncate orders; delete from sophia.relation_change'));
after(destroyServers);

const lines = (text) => (text ? text.split('\n') : []);
/** Runs statements in one transaction; resolves with its number. */
const transaction = async (sql, options) => lines(await postgres.sql(`begin; ${sql}; select pg_current_xact_id(); commit`, options)).at(-1);
const lastVersion = async () => BigInt(await postgres.sql('select last_value from sophia.kpi_state_version'));
const stampsOf = async (field) => {
    const [ver, chg] = (await postgres.sql(`select ver, chg from sophia.kpi_state where field = '${field}'`)).split('|');
    return { ver: BigInt(ver), chg };
};

/* What a writer says about ver and chg does not count: a row would be missed, or would lose against its own past. */
const ways = {
    'an insert': "insert into sophia.kpi_state (field, num) values ('a.b', 1)",
    'an insert with stamps': "insert into sophia.kpi_state (field, num, ver, chg) values ('a.b', 1, 7, '3')",
    'an insert with a version only': "insert into sophia.kpi_state (field, num, ver) values ('a.b', 1, 7)",
    'an insert with a transaction only': "insert into sophia.kpi_state (field, num, chg) values ('a.b', 1, '3')",
    'an insert with nulls for stamps': "insert into sophia.kpi_state (field, num, ver, chg) values ('a.b', 1, null, null)",
    'an insert with its transaction and an old version': "insert into sophia.kpi_state (field, num, ver, chg) values ('a.b', 1, 7, pg_current_xact_id())",
    'a copy': "copy sophia.kpi_state (field, num) from stdin;\na.b\t1\n\\.\n",
    'a copy with stamps': "copy sophia.kpi_state (field, num, ver, chg) from stdin;\na.b\t1\t7\t3\n\\.\n",
    'a copy with a version only': "copy sophia.kpi_state (field, num, ver) from stdin;\na.b\t1\t7\n\\.\n",
    'a replicated row': "set local session_replication_role = replica; insert into sophia.kpi_state (field, num, ver, chg) values ('a.b', 1, 7, '3')",
    'an upsert of a new row': upsert('a.b', { num: 1, ver: 7, chg: "'3'" }),
    'an upsert of a known row': `${upsert('a.b', { num: 0 })}; ${upsert('a.b', { num: 1, ver: 7, chg: "'3'" })}`,
    'an insert with the version of its deletion': `${upsert('a.b', { num: 0 })}; delete from sophia.kpi_state;
        insert into sophia.kpi_state (field, num, ver) select field, 1, ver from sophia.kpi_state_gone`,
    'an update with stamps': `${upsert('a.b', { num: 0 })}; update sophia.kpi_state set num = 1, ver = 7, chg = '3'`,
    'an update of the stamps only': `${upsert('a.b', { num: 1 })}; update sophia.kpi_state set ver = 7, chg = '3'`,
};
for (const [way, sql] of Object.entries(ways)) {
    test(`${way} is stamped with the newest version and its own transaction`, async () => {
        const before = await lastVersion();
        const number = await transaction(sql);
        const { ver, chg } = await stampsOf('a.b');
        assert.equal(chg, number);
        assert.equal(ver, await lastVersion());
        assert.ok(ver > before, `${ver} after ${before}`);
        assert.equal(await postgres.sql(`select count(*) from sophia.kpi_state_gone where ver >= ${ver}`), '0', 'as new as its deletion');
        assert.equal(await postgres.sql('select num from sophia.kpi_state'), '1');
    });
}

test('rows of one statement have versions of their own, two apart', async () => {
    await postgres.sql("insert into sophia.kpi_state (field, num) select 'a.b#' || i, i from generate_series(1, 100) i");
    const versions = lines(await postgres.sql('select ver from sophia.kpi_state order by num')).map(BigInt);
    assert.deepEqual(versions, versions.map((_, i) => versions[0] + 2n * BigInt(i)));
});

test('an update that changes nothing draws no version, and a deletion draws a later one', async () => {
    await postgres.sql("insert into sophia.kpi_state (field, num) values ('a.b', 1)");
    const { ver, chg } = await stampsOf('a.b');
    await postgres.sql('update sophia.kpi_state set num = 1');
    assert.deepEqual(await stampsOf('a.b'), { ver, chg });
    assert.equal(await lastVersion(), ver);
    await assert.rejects(postgres.sql("update sophia.kpi_state set field = 'a.c'"), /field of a row cannot be changed/);
    const number = await transaction('delete from sophia.kpi_state');
    const [gone, by] = (await postgres.sql('select ver, chg from sophia.kpi_state_gone')).split('|');
    assert.equal(by, number);
    assert.ok(BigInt(gone) > ver, `${gone} after ${ver}`);
    await assert.rejects(postgres.sql('truncate sophia.kpi_state'), /cannot be truncated/);
});

/** Puts back by ten seconds when the doorbell rang, runs statements, tells how often it rang. */
async function rings(sql) {
    const session = postgres.session();
    await session.sql('listen sophia_doorbell');
    await postgres.sql("select setval('sophia.doorbell_ms', (extract(epoch from clock_timestamp()) * 1000)::bigint - 10000)");
    await postgres.sql(sql);
    await postgres.sql("notify sophia_doorbell, 'last'");
    let heard = '';
    await until('the last notification', async () => {
        heard += await session.sql('select 1');
        return heard.includes('payload "last"');
    });
    session.end();
    return heard.split('notification "sophia_doorbell"').length - 2;
}

test('the doorbell rings for every way of writing, once for what comes together', async () => {
    await postgres.sql(`${upsert('a.b', { num: 0 })}; insert into orders values (1, 1)`);
    for (const sql of ["insert into sophia.kpi_state (field, num) values ('a.c', 1)", upsert('a.b', { num: 2 }), 'update sophia.kpi_state set num = 3',
        'delete from sophia.kpi_state', "insert into sophia.kpi_state (field, num) select 'a.b#' || i, i from generate_series(1, 1000) i",
        'insert into orders values (2, 2)', 'update orders set n = 4', 'delete from orders', 'truncate orders', "select sophia.note_relation('s', 't')"]) {
        assert.equal(await rings(`begin; ${sql}; commit`), 1, sql);
    }
    assert.equal(await rings('begin; update sophia.kpi_state set num = num; commit'), 0, 'nothing changed');
    assert.equal(await rings(`begin; ${upsert('a.d', { num: 2 })}; rollback`), 0, 'nothing was committed');
});

test('a clock that was set back does not silence the doorbell', async () => {
    await postgres.sql("select setval('sophia.doorbell_ms', (extract(epoch from clock_timestamp()) * 1000)::bigint + 3600000)");
    await postgres.sql(upsert('a.b', { num: 1 }));
    const behind = Number(await postgres.sql("select extract(epoch from clock_timestamp()) * 1000 - last_value from sophia.doorbell_ms"));
    assert.ok(behind >= 0 && behind < 60000, `${behind} ms`);
});

const notes = async () => lines(await postgres.sql('select distinct relation, chg from sophia.relation_change'));
const noteCount = async () => Number(await postgres.sql('select count(*) from sophia.relation_change'));

test('a transaction notes a table, however it writes, also behind a rollback to a savepoint', async () => {
    for (const sql of ['insert into orders values (1, 1)', 'insert into orders values (1, 2) on conflict (id) do update set n = excluded.n', 'update orders set n = 3',
        'delete from orders', 'truncate orders', 'copy orders from stdin;\n1\t1\n\\.\n', 'savepoint s; insert into orders values (2, 1); rollback to s; update orders set n = 4',
        'select pg_sleep(0.02); savepoint s; insert into orders values (2, 1); rollback to s; update orders set n = 5',
        'set local session_replication_role = replica; insert into orders values (3, 3)']) {
        await postgres.sql('delete from sophia.relation_change');
        const number = await transaction(sql);
        assert.deepEqual(await notes(), [`public.orders|${number}`], sql);
    }
    await postgres.sql('delete from sophia.relation_change; begin; update orders set n = 6; rollback');
    assert.equal(await noteCount(), 0);
});

test('a long transaction notes a table once, the next one again, and a loop not for each turn', async () => {
    const session = postgres.session();
    const wait = 'select pg_sleep(0.02)';
    await session.sql(`begin; ${wait}; insert into orders values (1, 1); insert into orders values (2, 1); update orders set n = 2`);
    await session.sql('commit');
    assert.equal(await noteCount(), 1);
    await session.sql(`begin; ${wait}; update orders set n = 3`);
    await session.sql('commit');
    assert.equal(await noteCount(), 2, 'what is remembered ends with the transaction');
    session.end();
    await postgres.sql('delete from sophia.relation_change; do $$ begin for i in 1..20000 loop update orders set n = i; end loop; end $$');
    const count = await noteCount();
    assert.ok(count >= 1 && count < 2000, `${count} notes`);
});

test('who may write a table needs no other right, and cannot make our functions run what is his', async () => {
    await postgres.sql(`create role clerk login; create schema clerk authorization clerk;
        grant select, insert, update, delete on orders to clerk;
        grant usage on schema sophia to clerk; grant select, insert, update, delete on sophia.kpi_state to clerk`);
    const user = { user: 'clerk' };
    await postgres.sql(`${upsert('a.b', { num: 1 })}; ${upsert('a.b', { num: 2 })}; update sophia.kpi_state set num = 3;
        insert into orders values (1, 1)`, user);
    assert.equal((await stampsOf('a.b')).ver, await lastVersion());
    await postgres.sql('delete from sophia.kpi_state; revoke usage on schema sophia from clerk; delete from sophia.relation_change');
    await assert.rejects(postgres.sql('select * from sophia.relation_change', user), /permission denied/);

    // Every function, operator and type that note_change() uses, under the same name.
    await postgres.sql(`
        create table seen (who text);
        create function spy(what text) returns void language plpgsql as $$ begin insert into clerk.seen values (current_user); raise exception 'found'; end $$;
        create function current_setting(text, boolean) returns text language plpgsql as $$ begin perform clerk.spy(''); return 'yes'; end $$;
        create function set_config(text, text, boolean) returns text language plpgsql as $$ begin perform clerk.spy(''); return 'yes'; end $$;
        create function abs(double precision) returns double precision language plpgsql as $$ begin perform clerk.spy(''); return 0; end $$;
        create function same(text, text) returns boolean language plpgsql as $$ begin perform clerk.spy(''); return true; end $$;
        create operator = (function = clerk.same, leftarg = text, rightarg = text);
        create function times(double precision, integer) returns double precision language plpgsql as $$ begin perform clerk.spy(''); return 0; end $$;
        create operator * (function = clerk.times, leftarg = double precision, rightarg = integer);
        create function less(double precision, bigint) returns double precision language plpgsql as $$ begin perform clerk.spy(''); return 0; end $$;
        create operator - (function = clerk.less, leftarg = double precision, rightarg = bigint);
        create function atleast(double precision, integer) returns boolean language plpgsql as $$ begin perform clerk.spy(''); return true; end $$;
        create operator >= (function = clerk.atleast, leftarg = double precision, rightarg = integer);
        create function between_times(timestamptz, timestamptz) returns interval language plpgsql as $$ begin perform clerk.spy(''); return '1 h'; end $$;
        create operator - (function = clerk.between_times, leftarg = timestamptz, rightarg = timestamptz);
        create function longer(interval, interval) returns boolean language plpgsql as $$ begin perform clerk.spy(''); return true; end $$;
        create operator > (function = clerk.longer, leftarg = interval, rightarg = interval)`, user);
    assert.equal(await rings(`set role clerk; set search_path = clerk, pg_catalog, public; begin; insert into public.orders values (2, 2);
        select pg_sleep(0.02); update public.orders set n = 5; update public.orders set n = 6; commit`), 1);
    assert.ok((await notes()).length === 1 && await noteCount() <= 2);
    assert.equal(await postgres.sql('select count(*) from clerk.seen'), '0');
    await assert.rejects(postgres.sql("set search_path = clerk, pg_catalog; select 'a' = 'b'::text", user), /found/, 'it would have been found');
});

test('an installation of an earlier layout is brought to this one, and keeps its rows', async () => {
    await postgres.sql(`${upsert('a.b', { num: 1 })};
        create function sophia.ring_bell() returns trigger language plpgsql as $$ begin perform sophia.ring(); return null; end $$;
        alter table sophia.kpi_state alter ver drop default, alter chg drop default;
        drop trigger sophia_stamp on sophia.kpi_state; drop trigger sophia_restamp on sophia.kpi_state;
        create trigger sophia_stamp before insert or update on sophia.kpi_state for each row execute function sophia.stamp_state();
        create trigger sophia_ring after insert or update or delete on sophia.kpi_state for each statement execute function sophia.ring_bell()`);
    const before = await stampsOf('a.b');
    await installSchema(postgres);
    assert.deepEqual(await stampsOf('a.b'), before);
    const number = await transaction("insert into sophia.kpi_state (field, num) values ('a.c', 1)");
    assert.deepEqual(await stampsOf('a.c'), { ver: await lastVersion(), chg: number });
    assert.deepEqual(lines(await postgres.sql(`select tgname, tgenabled from pg_trigger where tgrelid = 'sophia.kpi_state'::regclass order by 1`)),
        ['sophia_bury|A', 'sophia_restamp|A', 'sophia_stamp|A', 'sophia_truncate|A']);
    assert.equal(await rings(upsert('a.b', { num: 2 })), 1);
});

test('the doctor finds a trigger that is missing, disabled or not always on', async () => {
    const found = () => postgres.sql("select object from sophia.doctor where finding = 'is missing or disabled' order by 1");
    assert.equal(await found(), '');
    await postgres.sql('alter table sophia.kpi_state disable trigger sophia_bury; alter table sophia.kpi_state enable trigger sophia_stamp; alter table sophia.kpi_state disable trigger sophia_restamp; drop trigger sophia_truncate on sophia.kpi_state');
    assert.deepEqual(lines(await found()), ['sophia_bury', 'sophia_restamp', 'sophia_stamp', 'sophia_truncate'].map((name) => `sophia.kpi_state trigger ${name}`));
    await installSchema(postgres);
    assert.equal(await found(), '');
});
