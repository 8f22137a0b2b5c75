/*
 * Who changes values, whatever happens to the servers: transactions on the state table (some rolled back, some open for
 * seconds, rows inserted and deleted) and versioned messages to Redis, by stream and by channel. What the boards must show is not
 * what was written but what survived: truth() asks the database itself. Redis is no store of truth: its writer knows
 * what it said last and repeats it when told to, as producers of versioned messages do.
 */
import { sleep } from '../support/waiting.mjs';
import { CHANNEL, STREAM, TABLE, gauges, published, rowFields, streamed } from './definitions.mjs';

const upsert = (field, n) => `insert into sophia.kpi_state (field, value, as_of)
    values ('${field}', '${field.startsWith(TABLE) ? `{"n": ${n}}` : n}', date_trunc('milliseconds', clock_timestamp()))
    on conflict (field) do update set value = excluded.value, as_of = excluded.as_of, deleted = false`;

export class PostgresWriter {
    /** bed.postgres is asked anew for every connection: it may be another server by then. */
    constructor(bed, random, { perSecond = 40 } = {}) {
        Object.assign(this, { bed, random, perSecond, n: 0, commits: 0, failures: 0, isWriting: false });
        this.committed = new Map(); // gauge -> {ver, at}: the newest commit that was acknowledged
        this.openTransactions = new Set();
    }

    /** Every field once. */
    async fill() {
        await this.bed.postgres.sql([...gauges, ...rowFields.slice(0, 20)].map((field) => upsert(field, ++this.n)).join(';\n'));
    }

    start() {
        this.isWriting = true;
        this.loop = this.run();
    }

    async stop() {
        this.isWriting = false;
        await this.loop;
        await Promise.allSettled(this.openTransactions);
    }

    async run() {
        while (this.isWriting) {
            const session = this.bed.postgres.session();
            try {
                await session.sql("set statement_timeout = '10s'");
                while (this.isWriting) {
                    await this.step(session);
                    await sleep(1000 / this.perSecond * 2 * this.random.next());
                }
            } catch {
                this.failures++;
            }
            session.end();
            await sleep(100);
        }
    }

    step(session) {
        const kind = this.random.next();
        if (kind < 0.75) {
            return this.commit(session, 1 + this.random.below(3));
        }
        if (kind < 0.85) {
            return session.sql(`begin;\n${upsert(this.random.pick(gauges), ++this.n)};\nrollback`);
        }
        return kind < 0.95 ? this.changeRow(session) : this.commit(session, 12);
    }

    async commit(session, count) {
        const fields = [...new Set(Array.from({ length: count }, () => this.random.pick(gauges)))].sort();
        const answer = await session.sql(`begin;\n${fields.map((field) => `${upsert(field, ++this.n)} returning field, ver`).join(';\n')};\ncommit`);
        this.note(answer);
    }

    note(answer) {
        const at = performance.now();
        for (const line of answer.split('\n')) {
            const [field, ver] = line.split('|');
            this.committed.set(field, { ver: Number(ver), at });
        }
        this.commits++;
    }

    async changeRow(session) {
        const field = this.random.pick(rowFields);
        const deletions = [`update sophia.kpi_state set deleted = true where field = '${field}'`, `delete from sophia.kpi_state where field = '${field}'`];
        await session.sql(this.random.next() < 0.4 ? this.random.pick(deletions) : upsert(field, ++this.n));
        this.commits++;
    }

    /** A transaction of its own that changes one gauge and stays open for a while. */
    async holdOpen(ms, field = this.random.pick(gauges)) {
        const session = this.bed.postgres.session();
        const held = (async () => {
            try {
                const answer = await session.sql(`begin;\n${upsert(field, ++this.n)} returning field, ver`);
                await sleep(ms);
                await session.sql('commit');
                this.note(answer);
            } catch {
                this.failures++;
            }
            session.end();
        })();
        this.openTransactions.add(held);
        await held;
        this.openTransactions.delete(held);
    }

    /** The database lost commits: what was acknowledged says nothing any more. */
    forget() {
        this.committed.clear();
    }

    /** field -> {v, ver, as_of}, by the database as it is now. */
    async truth() {
        const text = await this.bed.postgres.sql(`select field, value, ver, round(extract(epoch from as_of) * 1000)
            from sophia.kpi_state where not deleted`);
        return new Map(text.split('\n').filter(Boolean).map((line) => {
            const [field, value, ver, asOf] = line.split('|');
            return [field, { v: JSON.parse(value), ver: Number(ver), as_of: Number(asOf) }];
        }));
    }
}

export class RedisWriter {
    constructor(bed, random, { perSecond = 20 } = {}) {
        Object.assign(this, { bed, random, perSecond, n: 0, sent: 0, failures: 0, isWriting: false });
        this.newest = new Map(); // field -> change
    }

    async fill() {
        for (const field of [...streamed, ...published]) {
            this.change(field);
        }
        await this.repeat();
    }

    change(field) {
        const change = { field, value: ++this.n, version: this.n, as_of: Date.now() };
        this.newest.set(field, change);
        return change;
    }

    send(change) {
        const text = JSON.stringify(change);
        this.sent++;
        return streamed.includes(change.field)
            ? this.bed.redis.command('XADD', STREAM, 'MAXLEN', '~', '10000', '*', 'payload', text)
            : this.bed.redis.command('PUBLISH', CHANNEL, text);
    }

    /** Says again what it said last of every field. */
    async repeat() {
        for (const change of this.newest.values()) {
            await this.send(change);
        }
    }

    start() {
        this.isWriting = true;
        this.loop = this.run();
    }

    async stop() {
        this.isWriting = false;
        await this.loop;
    }

    async run() {
        while (this.isWriting) {
            const change = this.change(this.random.pick([...streamed, ...published]));
            await Promise.race([this.send(change).catch(() => { this.failures++; }), sleep(500)]);
            await sleep(1000 / this.perSecond * 2 * this.random.next());
        }
    }

    truth() {
        return new Map([...this.newest].map(([field, { value, version, as_of: asOf }]) => [field, { v: value, ver: version, as_of: asOf }]));
    }
}
