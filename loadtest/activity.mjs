/*
 * Business activity for a stack to look at: deals move, calls arrive, competitors are mentioned, roll-ups are computed, sources
 * synchronise - as SQL transactions - and alerts, insights, decisions, latencies and the state of the platform - as
 * Redis messages. What it writes keeps the company the same size: it may run for days.
 *
 *   node loadtest/activity.mjs --pg-url URL --redis-port PORT [--redis-host HOST] [--rate 1] [--seed 1]
 *
 * --rate: times the usual pace. It drives psql and redis-cli through pipes, starts them again when they end (their server was
 * restarted), and ends at SIGINT or SIGTERM. Needs deploy/sql/install.sql and deploy/sql/sample.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { chance as chanceOf } from '../tests/support/waiting.mjs';

const { values: options } = parseArgs({
    options: {
        'pg-url': { type: 'string' },
        'redis-host': { type: 'string', default: '127.0.0.1' },
        'redis-port': { type: 'string' },
        rate: { type: 'string', default: '1' },
        seed: { type: 'string', default: '1' },
    },
});
const rate = Number(options.rate);
if (!options['pg-url'] || !options['redis-port'] || !(rate > 0)) {
    console.error('usage: activity.mjs --pg-url URL --redis-port PORT [--redis-host HOST] [--rate 1] [--seed 1]');
    process.exit(2);
}

/* ---- chance: the same seed, the same story ---- */

const { next: chance, pick } = chanceOf(Number(options.seed));
const between = (low, high) => low + (high - low) * chance();
const started = Date.now();
let count = 0;
const nextKey = (kind) => `${kind}-${started.toString(36)}-${++count}`;

/* ---- the two programs that speak for us ---- */

const MAX_WAITING_BYTES = 1 << 20;
const AGAIN_AFTER_MS = 1000;

/** A child that reads commands line by line. While it is away, or slow, what is said is lost: the next is as good. */
class Speaker {
    constructor(name, command) {
        this.name = name;
        this.command = command;
        this.start();
    }

    start() {
        const [program, ...args] = this.command;
        this.child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'], env: { ...process.env, PGCONNECT_TIMEOUT: '3' } });
        this.child.stdin.on('error', () => {});
        this.child.stderr.setEncoding('utf8').on('data', (text) => this.complain(text.trim()));
        this.child.on('error', (error) => this.complain(error.message));
        this.child.on('close', () => {
            this.child = undefined;
            this.again = isEnding ? undefined : setTimeout(() => this.start(), AGAIN_AFTER_MS);
        });
    }

    /** Each complaint once, until another takes its place. */
    complain(text) {
        const first = text.split('\n')[0];
        if (first && first !== this.complaint && !isEnding) {
            this.complaint = first;
            console.error(`activity: ${this.name}: ${first}`);
        }
    }

    say(line) {
        const pipe = this.child?.stdin;
        if (pipe?.writable && pipe.writableLength < MAX_WAITING_BYTES) {
            pipe.write(`${line}\n`);
        }
    }

    end() {
        clearTimeout(this.again);
        this.child?.kill('SIGKILL');
    }
}

let isEnding = false;
const psql = new Speaker('psql', ['psql', '-X', '-q', '-d', options['pg-url'], '-v', 'ON_ERROR_STOP=0']);
const redis = new Speaker('redis-cli', ['redis-cli', '-h', options['redis-host'], '-p', options['redis-port']]);

const text = (value) => `'${String(value).replaceAll("'", "''")}'`;
/** One transaction: what changed together is seen together. */
const sql = (...statements) => psql.say(`begin; ${statements.join('; ').replace(/\s+/g, ' ')}; commit;`);
const publish = (channel, message) =>
    redis.say(`PUBLISH ${channel} "${JSON.stringify(message).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);

/* ---- what happens ---- */

const competitors = ['Pelligant', 'Pelligant', 'Pelligant', 'Aldermarck', 'Aldermarck', 'Corvenza', 'Corvenza', 'Quillstead', 'Vantrosa'];
const stages = ['Qualification', 'Discovery', 'Proposal', 'Negotiation'];
const risks = ['low', 'low', 'low', 'low', 'low', 'low', 'medium', 'medium', 'medium', 'high', 'high', 'critical'];
const topics = ['Onboarding', 'Pricing', 'Integrations', 'Renewal', 'Security review', 'Reporting'];
const points = ['Every number shows its age', 'Running within a day', 'Your data stays in your database', 'Priced per board, not per seat',
    'Every correction leaves a trace'];

const synced = (...sources) => `update ops_monitoring.source_status set last_sync = now() where source in (${sources.map(text).join(', ')})`;

/** The newest row with today's date: the first of a day begins where yesterday ended, the first of a month at nothing. */
function rollups() {
    const walk = (column, step, low, high) =>
        `greatest(${low}, least(${high}, ${column} + ${between(-step, step).toFixed(4)}))`;
    sql(`insert into executive_intelligence.kpi_rollups
        select sophia.today(), case when date_trunc('month', date_key) = date_trunc('month', sophia.today()) then revenue_mtd else 0 end
                + ${between(0, 90).toFixed(2)},
            (select sum(amount) from hubspot_intelligence.deals where status = 'in_progress') + 3000000,
            ${walk('customer_health_score', 0.2, 70, 86)}, ${walk('competitive_win_rate', 0.002, 0.7, 0.85)},
            ${walk('team_productivity_score', 0.3, 64, 82)}, ${walk('llm_cost_efficiency', 0.3, 62, 90)}, now()
        from executive_intelligence.kpi_rollups order by date_key desc limit 1
        on conflict (date_key) do update set revenue_mtd = excluded.revenue_mtd, pipeline_value = excluded.pipeline_value,
            customer_health_score = excluded.customer_health_score, competitive_win_rate = excluded.competitive_win_rate,
            team_productivity_score = excluded.team_productivity_score, llm_cost_efficiency = excluded.llm_cost_efficiency,
            computed_at = excluded.computed_at`, synced('warehouse'));
}

/** The three big deals stay what they are known for; the others move. */
function dealMoves() {
    sql(`update hubspot_intelligence.deals set stage = ${text(pick(stages))}, risk = ${text(pick(risks))},
            probability = ${between(0.1, 0.9).toFixed(2)}, amount = greatest(4000, least(130000, round(amount * ${between(0.94, 1.065).toFixed(4)}, -2))),
            last_activity_date = sophia.today()
        where deal_id = (select deal_id from hubspot_intelligence.deals where status = 'in_progress' and deal_id > 'D003'
                         order by random() limit 1)`, synced('crm'));
}

function topDealMoves() {
    sql(`update hubspot_intelligence.deals set probability = greatest(0.3, least(0.95, probability + ${between(-0.03, 0.03).toFixed(2)})),
            last_activity_date = sophia.today() where deal_id = ${text(pick(['D001', 'D002', 'D003']))}`, synced('crm'));
}

function callArrives() {
    const key = nextKey('call');
    const competitor = chance() < 0.3 ? `array[${text(pick(competitors))}]` : "'{}'";
    sql(`insert into gong_intelligence.calls values (${text(key)}, 'account-' || ${Math.ceil(between(0, 140))}, now(),
            ${Math.round(between(240, 2600))}, ${text(pick(['inbound', 'outbound']))}, ${between(-0.4, 0.95).toFixed(3)},
            ${text(pick(['won', 'lost', 'open', 'open', 'follow_up']))}, ${competitor}, array[${text(pick(points))}],
            array[${text(pick(topics))}], '{}', null, now())`,
        `insert into ai_memory.memory_records values (${text(`memory-${key}`)}, 'call', now(), now())`, synced('calls'));
}

function callsCounted() {
    psql.say('select sophia.refresh_daily_calls();');
}

/** One comes, the oldest of the day goes: the usual amount stays what it is. */
function mention() {
    const competitor = pick(competitors);
    const threat = chance() > 0.96 ? 4 : Math.ceil(between(0, 3));
    const words = pick(['Customer compares our dashboards with % and asks about export.', '% offered a discount in the second round.',
        'Team praises a win against % in the regional tender.', 'Review site ranks us above % for support.',
        'Prospect already runs a pilot with %.']).replace('%', competitor);
    sql(`insert into competitive_intelligence.competitor_mentions values (${text(nextKey('mention'))}, ${text(competitor)},
            ${text(pick(['calls', 'crm', 'chat', 'news', 'web']))}, ${text(words)}, ${pick([-1, 0, 0, 1, 1])}, ${threat}, now())`,
        `delete from competitive_intelligence.competitor_mentions where mention_id = (
            select mention_id from competitive_intelligence.competitor_mentions where detected_at > now() - interval '24 hours'
            order by detected_at limit 1)`, synced('press'));
}

/** One statement with many rows, as a press release makes it; it is taken back after a while. */
function mentionBurst() {
    const burst = nextKey('burst');
    sql(`insert into competitive_intelligence.competitor_mentions select ${text(burst)} || '-' || i, 'Corvenza', 'news',
            'Corvenza announces a new office.', 0, 2, now() from generate_series(1, 40) as i`);
    setTimeout(() => sql(`delete from competitive_intelligence.competitor_mentions where mention_id like ${text(`${burst}-%`)}`), 25000).unref();
}

function healthCounted() {
    sql(`insert into executive_intelligence.customer_health_mix
        values (now(), ${Math.round(between(310, 325))}, ${Math.round(between(52, 64))}, ${Math.round(between(24, 31))})`,
    "delete from executive_intelligence.customer_health_mix where as_of < now() - interval '31 days'");
}

function knowledgeGrows() {
    sql(`insert into knowledge_intelligence.documents values (${text(nextKey('doc'))}, ${text(pick(['page', 'ticket', 'note']))}, now(), null)`,
        "update knowledge_intelligence.documents set embedded_at = now() where embedded_at is null and created_at < now() - interval '20 seconds'",
        synced('wiki', 'tickets'));
}

function jobRuns() {
    const [job, source, took, rows] = pick([['crm-sync', 'crm', 34, 1820], ['calls-transcribe', 'calls', 211, 96],
        ['documents-embed', 'wiki', 88, 412], ['rollups-refresh', 'warehouse', 12, 30], ['press-scan', 'press', 48, 640]]);
    const failed = chance() < 0.01;
    sql(`insert into ops_monitoring.etl_job_logs values (${text(nextKey('run'))}, ${text(job)}, ${text(source)},
            ${text(failed ? 'failed' : 'success')}, ${failed ? 0 : Math.round(rows * between(0.6, 1.4))},
            now() - interval '${(took * between(0.7, 1.3)).toFixed(1)} seconds', now(),
            ${failed ? text('upstream closed the connection after 3 attempts') : 'null'})`);
}

function dayRecorded() {
    psql.say('select executive_intelligence.record_day();');
}

/** The table is what counts; the message is quicker. */
function decision() {
    const [title, what, why, not] = pick([
        ['Renewal terms for Osterby Instruments', 'Offer two years at the current price', 'The account is healthy', 'Raise by 6 %'],
        ['Pilot for Pinegrave Energy', 'Extend it by four weeks', 'Security review is still open', 'End it on time'],
        ['Answer to the Corvenza announcement', 'Say nothing', 'Mentions are back to usual within a day', 'A press release of our own'],
    ]);
    const key = nextKey('decision');
    const confidence = Number(between(0.6, 0.95).toFixed(2));
    const decidedAt = new Date().toISOString();
    sql(`insert into cmi.decisions values (${text(key)}, ${text(decidedAt)}, ${text(title)}, ${text(what)}, ${text(why)}, array[${text(not)}],
            ${confidence}, 'sales lead', '{}')`);
    publish('event:decision', { key, as_of: decidedAt, title, decision: what, rationale: why, alternatives: not, confidence, decided_at: decidedAt,
        owner_role: 'sales lead' });
}

function alert() {
    const [severity, title, kpi] = pick([
        ['info', 'Month-end roll-up finished', 'exec.revenue_mtd'], ['warning', 'High-threat mention of Aldermarck', 'comp.high_threat_24h'],
        ['warning', 'Memory store was slow', 'know.store_p95'], ['critical', 'Mentions far above the usual amount', 'comp.mentions_24h'],
    ]);
    publish('event:alert', { key: nextKey('alert'), severity, title, kpi, since: Date.now(), state: pick(['firing', 'resolved']) });
}

function insight() {
    const [type, title, body, severity, source] = pick([
        ['risk', 'Castellane Retail has gone quiet', 'No call for six days while the stage is Discovery.', 'warning', 'calls'],
        ['opportunity', 'Onboarding is the most praised topic this week', 'Best mean sentiment of six topics.', 'info', 'calls'],
        ['pattern', 'Deals with a security review close nine days later', 'Across 61 deals of two quarters.', 'info', 'deals'],
    ]);
    publish('event:insight', { key: nextKey('insight'), type, title, body, severity, source, status: 'open',
        confidence: Number(between(0.6, 0.95).toFixed(2)) });
}

const latencies = { 'know.search_p95': 38, 'know.recall_p95': 720, 'know.store_p95': 1400, 'know.call_processing_p95': 150,
    'know.segment_processing_p95': 70 };
function latency() {
    const kpi = pick(Object.keys(latencies));
    publish(`kpi:${kpi}`, { value: Math.round(latencies[kpi] * between(0.85, 1.2)), as_of: Date.now() });
}

function platform() {
    for (const key of ['mcp-sales', 'mcp-calls', 'mcp-knowledge', 'mcp-tickets']) {
        publish('platform:health', { key, state: chance() < 0.97 ? 'up' : 'degraded', since: started });
    }
}

const everything = () => sql(synced('crm', 'calls', 'warehouse', 'press', 'wiki', 'tickets'));

/** What, and how often in seconds. */
const story = [
    [rollups, 2], [dealMoves, 3], [topDealMoves, 7], [callArrives, 15], [callsCounted, 10], [mention, 6], [mentionBurst, 120],
    [healthCounted, 9], [knowledgeGrows, 5], [jobRuns, 20], [dayRecorded, 60], [decision, 75], [alert, 18], [insight, 25], [latency, 1],
    [platform, 15], [everything, 30],
];

const timers = [];
for (const [happen, everySeconds] of story) {
    const every = (everySeconds * 1000) / rate;
    timers.push(setTimeout(() => {
        happen();
        timers.push(setInterval(happen, every));
    }, every * chance()));
}
/* What nobody has written yet is told at once, so that no tile waits for its turn. */
Object.entries(latencies).forEach(([kpi, value]) => publish(`kpi:${kpi}`, { value, as_of: Date.now() }));
[platform, alert, insight, rollups].forEach((happen) => happen());

function end() {
    isEnding = true;
    timers.forEach((timer) => clearTimeout(timer));
    psql.end();
    redis.end();
    process.exit(0);
}
process.on('SIGINT', end);
process.on('SIGTERM', end);
