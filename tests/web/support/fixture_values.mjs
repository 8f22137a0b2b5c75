/*
 * Invented values for every KPI of a board, the same on every run: what the tests of the page look at.
 * Names of companies and people are fictional.
 */

const MINUTE = 60000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A small generator with a fixed start, so that two runs draw the same lines. */
function randomOf(text) {
    let state = [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
    return () => {
        state = (state * 1664525 + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

const numbers = {
    'exec.revenue_mtd': { v: '1284300.50', base: '1232110.00', target: '1310000.00' },
    'exec.pipeline_value': { v: '8412000.00', base: '8655000.00' },
    'exec.pipeline_coverage': { v: 3.4 },
    'exec.customer_health': { v: 82, base: 79 },
    'exec.win_rate': { v: 0.734, base: 0.761, num: 69, den: 94, level: 'warn' },
    'exec.team_productivity': { v: 77, base: 77 },
    'exec.llm_cost_efficiency': { v: 88, base: 84 },
    'exec.deals_at_risk': { v: 6, base: 4, level: 'crit' },
    'exec.deals_at_risk_amount': { v: '1105000.00' },
    'exec.calls_today': { v: 143, base: 131 },
    'exec.sentiment_avg': { v: 0.34, base: 0.29 },
    'exec.accounts_touched': { v: 57, base: 61 },
    'comp.threat_max': { v: 4, level: 'warn' },
    'comp.net_sentiment': { v: -0.12, base: 0.04, level: 'warn' },
    'know.documents': { v: 48211, base: 47980 },
    'know.embedding_lag': { v: 4420, base: 3900 },
    'know.documents_idle': { v: 312 },
    'ops.state': { v: 'healthy' },
    'ops.redis': { v: 'degraded' },
    'ops.release': { v: '0.1.0 (5b1c2de) production' },
    'ops.rss': { v: 41234432, target: 268435456 },
};

const byUnit = {
    money: (random) => (random() * 900000).toFixed(2),
    percent: (random) => Math.round(random() * 1000) / 1000,
    score: (random) => Math.round(50 + random() * 50),
    integer: (random) => Math.round(random() * 120),
    number: (random) => Math.round(random() * 100) / 100,
    ms: (random) => Math.round(random() * 900) / 10,
    s: (random) => Math.round(random() * 9000),
    bytes: (random) => Math.round(random() * 6e7),
    per_second: (random) => Math.round(random() * 400) / 10,
    per_minute: (random) => Math.round(random() * 40) / 10,
    days: (random) => Math.round(20 + random() * 60),
    text: () => 'Nimbus Analytics',
};

function numberOf(kpi) {
    const random = randomOf(kpi.id);
    if (numbers[kpi.id]) {
        return { ...numbers[kpi.id] };
    }
    if (kpi.type === 'state') {
        return { v: Object.keys(kpi.states)[0] };
    }
    const make = byUnit[kpi.unit] ?? byUnit.integer;
    return { v: make(random), ...(kpi.compare ? { base: make(random) } : {}) };
}

export function historyOf(kpi, value, now) {
    const random = randomOf(`${kpi.id} history`);
    const end = Number(value);
    const points = [];
    let level = end * 0.86;
    for (let i = kpi.history.points - 1; i >= 0; i--) {
        level += (end - level) / (i + 2) + (random() - 0.5) * Math.abs(end) * 0.05;
        const rounded = kpi.unit === 'money' ? level.toFixed(2) : Math.round(level * 1000) / 1000;
        points.push([now - i * kpi.history.step_s * 1000, i === 0 ? value : rounded]);
    }
    return points;
}

const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);
const competitors = ['Nimbus Analytics', 'Quarry Systems', 'Lumen Desk', 'Tidewater BI', 'Northgate Data'];

function revenueRows(now) {
    const random = randomOf('revenue');
    const rows = {};
    for (let i = 29; i >= 0; i--) {
        const day = 30 - i;
        rows[dayOf(now - i * DAY)] = {
            value: String(Math.round(day * 42000 + random() * 60000)) + '.00', pace: `${day * 43600}.00`,
            ...(i < 4 ? { forecast: `${day * 42900}.00` } : {}),
        };
    }
    return rows;
}

const rows = {
    'exec.revenue_series': revenueRows,
    'exec.top_deals': (now) => ({
        D001: { name: 'Harbour Logistics, platform renewal', amount: '450000.00', stage: 'Negotiation', probability: 0.85, close_date: dayOf(now + 12 * DAY), idle_days: 2 },
        D002: { name: 'Fjordline Insurance', amount: '380000.00', stage: 'Proposal', probability: 0.7, close_date: dayOf(now + 26 * DAY), idle_days: 9 },
        D003: { name: 'Maison Verte', amount: '275000.00', stage: 'Discovery', probability: 0.4, close_date: dayOf(now + 51 * DAY), idle_days: 17 },
        D004: { name: 'Castellan Rail & Freight Holding', amount: '198500.00', stage: 'Proposal', probability: 0.55, close_date: dayOf(now + 33 * DAY), idle_days: 4 },
        D005: { name: 'Bluebird Clinics', amount: '120000.00', stage: 'Discovery', probability: 0.35 },
    }),
    'exec.alerts': (now) => ({
        a3: { severity: 'critical', title: 'Six deals at risk, two of them above $250K', kpi: 'exec.deals_at_risk', since: now - 14 * MINUTE, state: 'firing' },
        a2: { severity: 'warning', title: 'Competitive win rate below 75%', kpi: 'exec.win_rate', since: now - 3 * HOUR, state: 'firing' },
        a1: { severity: 'info', title: 'Mention burst from Quarry Systems is over', kpi: 'comp.mentions_24h', since: now - 26 * HOUR, state: 'resolved' },
    }),
    'exec.decisions': (now) => ({
        d2: { title: 'Extend the onboarding offer', decision: 'Keep the free onboarding for accounts above $100K until the end of the quarter.', rationale: 'Accounts with onboarding renew 14 points more often.', alternatives: 'A discount of 10%', confidence: 0.8, decided_at: now - 5 * HOUR },
        d1: { title: 'Move two engineers to the connector team', decision: 'From the first of the month, for eight weeks.', rationale: 'Three of the top five deals wait for the same connector.', alternatives: 'Contractors', confidence: 0.65, decided_at: now - 2 * DAY },
    }),
    'exec.insights': () => ({
        i2: { title: 'Price comes up earlier in calls', body: 'In 31 of the last 143 calls price was raised in the first five minutes, twice as often as a month ago.', severity: 'warning', confidence: 0.74, source: 'calls' },
        i1: { title: 'Health of mid-size accounts improves', body: 'Nine accounts moved from attention to healthy within two weeks of a review meeting.', severity: 'info', confidence: 0.81, source: 'crm' },
    }),
    'exec.sources': (now) => ({
        calls: { status: 'ok', last_sync: now - 2 * MINUTE, cadence_s: 300 },
        crm: { status: 'ok', last_sync: now - 4 * MINUTE, cadence_s: 300 },
        chat: { status: 'late', last_sync: now - 48 * MINUTE, cadence_s: 600 },
        warehouse: { status: 'ok', last_sync: now - 22 * MINUTE, cadence_s: 3600 },
    }),
    'comp.league': (now) => Object.fromEntries(competitors.map((name, i) =>
        [name, { mentions_7d: 64 - i * 11, change: 9 - i * 5, threat: 5 - i, sentiment: 0.4 - i * 0.2, last_seen: now - i * 3 * HOUR - 7 * MINUTE, sources: i % 2 ? 'calls' : 'calls, chat' }])),
    'comp.threat_heat': (now) => {
        const random = randomOf('heat');
        const cells = {};
        for (let i = 13; i >= 0; i--) {
            for (const competitor of competitors) {
                if (random() > 0.25) {
                    cells[`${dayOf(now - i * DAY)}|${competitor}`] = { day: dayOf(now - i * DAY), competitor, threat: 1 + Math.floor(random() * 5) };
                }
            }
        }
        return cells;
    },
    'know.ingest_series': (now) => {
        const random = randomOf('ingest');
        const hours = {};
        for (let i = 47; i >= 0; i--) {
            hours[new Date(now - i * HOUR).toISOString().slice(0, 13) + ':00:00Z'] = { documents: Math.round(20 + random() * 60), records: Math.round(90 + random() * 160) };
        }
        return hours;
    },
};

const cellOf = {
    money: () => '12500.00', percent: (i) => 0.93 - i * 0.11, integer: (i) => 40 - i * 7, number: (i) => 0.4 - i * 0.2, days: (i) => 3 + i,
    time: (i, now) => now - (i + 1) * 17 * MINUTE, duration: (i) => 42 + i * 1290, severity: (i) => ['critical', 'warning', 'info'][i % 3],
    state: (i) => ['ok', 'degraded', 'failed'][i % 3], text: (i, now, key) => `${key.replaceAll('_', ' ')} ${i + 1}`,
};

function inventedRows(kpi, now) {
    const made = {};
    for (let i = 0; i < 4; i++) {
        made[`${kpi.id.split('.')[1]}_${i + 1}`] = Object.fromEntries(kpi.columns.map(({ key, unit }) => [key, cellOf[unit](i, now, key)]));
    }
    return made;
}

function mixOf(kpi) {
    const shape = [312, 60, 28, 21, 13, 7];
    return Object.fromEntries(kpi.parts.map(({ key }, i) => [key, shape[i]]));
}

/** Troubles of the scenario 'broken', one of each kind, wherever the board has room for them. */
const troubles = [
    (value) => ({ ...value, state: 'invalid', reason: 'value 132 is above 100' }),
    (value) => ({ ...value, state: 'unreachable', reason: 'connection refused' }),
    ({ as_of: asOf }) => ({ as_of: asOf, state: 'nodata', reason: 'the query returned no rows' }),
    (value) => ({ ...value, as_of: value.as_of - 30 * DAY }),
    (value) => ({ ...value, as_of: value.as_of - 11 * MINUTE }),
    (value) => ({ ...value, state: 'partial', reason: '2 of 3 regions answered' }),
];

const hasRows = (kpi) => ['table', 'feed', 'series'].includes(kpi.type);

export function valuesOf(definition, now, scenario) {
    const fields = {};
    const history = {};
    if (scenario === 'empty') {
        return { fields, history };
    }
    const asOf = scenario === 'stale' ? now - 3 * HOUR : now - 500;
    let index = 0;
    for (const kpi of Object.values(definition.kpis)) {
        if (hasRows(kpi)) {
            // Reversed, so that the first of a feed is the newest.
            const made = Object.entries((rows[kpi.id] ?? ((at) => inventedRows(kpi, at)))(now)).reverse();
            made.forEach(([key, v]) => { fields[`${kpi.id}#${key}`] = { v, as_of: asOf }; });
            continue;
        }
        const value = kpi.type === 'mix' ? { v: mixOf(kpi), as_of: asOf } : { ...numberOf(kpi), as_of: asOf };
        fields[kpi.id] = scenario === 'broken' ? troubles[index++ % troubles.length](value) : value;
        if (kpi.history && kpi.type !== 'state') {
            history[kpi.id] = historyOf(kpi, value.v, now);
        }
    }
    return { fields, history };
}
