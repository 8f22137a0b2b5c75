/*
 * What the triggers cost those who write: 32 writers, one row per transaction, every commit flushed, each flush taking 2 ms
 * (commit_delay). Prints transactions per second without triggers, with ours, and with a NOTIFY per statement.
 *
 *     node loadtest/writers.mjs [--turns 20] [--turn-ms 1000]
 *
 * Without triggers means the same table with the same constraints and indexes. All groups of writers are connected and warm; they take
 * turns, the others being stopped meanwhile, so that what else the machine does meets them all alike; its processors do not sleep (awake.mjs). Ends with status 1 when inserts
 * into the state table, or into another table, keep less than 80 % of the throughput.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { program, startPostgres } from '../tests/support/postgres.mjs';
import { asServer, destroyServers } from '../tests/support/private_server.mjs';
import { installSchema } from '../tests/support/sophia_schema.mjs';
import { sleep, until } from '../tests/support/waiting.mjs';
import { keepAwake } from './awake.mjs';

const { values } = parseArgs({ options: { turns: { type: 'string', default: '20' }, 'turn-ms': { type: 'string', default: '1000' } } });
const turns = Number(values.turns);
const turnMs = Number(values['turn-ms']);
const WRITERS = 32;

const setUp = `
    create table plain_state (like sophia.kpi_state including all);
    alter table plain_state alter ver set default 0, alter chg set default pg_current_xact_id();
    create table plain (id bigint generated always as identity primary key, a int, b text);
    create table noted (like plain including all);
    create table loud (like plain including all);
    create trigger note after insert or update or delete on noted for each statement execute function sophia.note_change();
    create function shout() returns trigger language plpgsql as $$ begin perform pg_notify('loud', ''); return null; end $$;
    create trigger shout after insert or update or delete on loud for each statement execute function shout();
    insert into plain_state (field, num) select 'bench.row#' || i, i from generate_series(1, 10000) i;
    insert into sophia.kpi_state (field, num) select 'bench.row#' || i, i from generate_series(1, 10000) i;
    vacuum analyze`;

const arrive = (table) => `\\set i random(1, 1000000000)\ninsert into ${table} (field, num) values ('new.row#' || :i || :client_id, :i) on conflict do nothing;\n`;
const known = '\\set i random(1, 10000)\n\\set v random(1, 1000000000)\n';
const update = (table) => `${known}update ${table} set num = :v, as_of = now() where field = 'bench.row#' || :i;\n`;
const upsert = (table) => `${known}insert into ${table} (field, num) values ('bench.row#' || :i, :v)
    on conflict (field) do update set num = excluded.num, as_of = excluded.as_of;\n`.replace(/\n +/, ' ');
const insert = (table) => `insert into ${table} (a, b) values (1, 'a row of an existing table');\n`;
/** What is written, and into which table without triggers and with which. */
const state = { 'no triggers': 'plain_state', ours: 'sophia.kpi_state' };
const comparisons = [
    { what: 'state table, inserts', script: arrive, tables: state, isBar: true },
    { what: 'state table, updates', script: update, tables: state },
    { what: 'state table, upserts', script: upsert, tables: state },
    { what: 'other table, inserts', script: insert, tables: { 'no triggers': 'plain', ours: 'noted', 'NOTIFY per statement': 'loud' }, isBar: true },
];

/** Every transaction of a writer takes one number, whether it commits or not; none of them rolls back. */
const numbersTaken = async (postgres) => Number(await postgres.sql('select pg_snapshot_xmax(pg_current_snapshot())'));

let scripts = 0;
/** Writers of their own, stopped once each of them has committed often enough to have everything in its caches. */
async function connectWriters(postgres, script) {
    const file = path.join(postgres.directory, `script${scripts++}.sql`);
    fs.writeFileSync(file, script);
    const [command, ...args] = asServer([program('pgbench'), '-n', '-M', 'prepared', '-c', String(WRITERS), '-j', '2', '-T', '36000', '-f', file,
        '-h', postgres.socketDir, '-p', String(postgres.port), '-U', 'postgres', 'postgres'], { asSelf: true });
    const writers = spawn(command, args, { env: postgres.environment(), stdio: ['ignore', 'ignore', 'inherit'] });
    const before = await numbersTaken(postgres);
    await until('the writers to be warm', async () => await numbersTaken(postgres) > before + 50 * WRITERS, { within: 60000, every: 50 });
    writers.kill('SIGSTOP');
    return writers;
}

/** Transactions per second of one turn. */
async function takeTurn(postgres, writers) {
    const before = await numbersTaken(postgres);
    const since = performance.now();
    writers.kill('SIGCONT');
    await sleep(turnMs);
    writers.kill('SIGSTOP');
    const took = performance.now() - since;
    const inHand = async () => Number(await postgres.sql("select count(*) from pg_stat_activity where application_name = 'pgbench' and state <> 'idle'"));
    await until('what was sent to be committed', async () => await inHand() === 0, { every: 5 });
    return (await numbersTaken(postgres) - before) * 1000 / took;
}

/** {kind: transactions per second, over all turns} */
async function compare(postgres, { script, tables }) {
    const kinds = Object.keys(tables);
    const writers = [];
    for (const kind of kinds) {
        writers.push(await connectWriters(postgres, script(tables[kind])));
    }
    const sums = kinds.map(() => 0);
    const order = kinds.map((_, i) => i);
    for (let turn = 0; turn < turns; turn++) {
        for (const i of order) {
            sums[i] += await takeTurn(postgres, writers[i]);
        }
        order.reverse(); // nobody always comes after the same
    }
    writers.forEach((child) => child.kill('SIGKILL'));
    return Object.fromEntries(kinds.map((kind, i) => [kind, sums[i] / turns]));
}

const postgres = await startPostgres({
    settings: { fsync: 'on', full_page_writes: 'on', commit_delay: 2000, commit_siblings: 0, shared_buffers: '128MB', max_wal_size: '1GB', max_connections: 150 },
});
await installSchema(postgres);
await postgres.sql(setUp);
const listener = postgres.session(); // somebody hears the doorbell, as in operation
await listener.sql('listen sophia_doorbell; listen loud');
const awake = keepAwake();
let isGood = true;
for (const comparison of comparisons) {
    const rates = await compare(postgres, comparison);
    for (const [kind, rate] of Object.entries(rates)) {
        const share = rate / rates['no triggers'];
        const told = kind === 'no triggers' ? '' : `${(100 * share).toFixed(share < 0.1 ? 1 : 0).padStart(6)} %`;
        console.log(`${`${comparison.what}, ${kind}`.padEnd(44)}${rate.toFixed(0).padStart(6)} tps${told}`);
        isGood &&= kind !== 'ours' || !comparison.isBar || share >= 0.8;
    }
}
awake.stop();
await destroyServers();
process.exitCode = isGood ? 0 : 1;
