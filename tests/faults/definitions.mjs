/*
 * What the fault suite shows: KPIs fed from the state table of PostgreSQL, KPIs fed by Redis (a stream, and a channel with a
 * key that holds the newest message), on two boards that share some. All numbers count up, so that "newer" is visible.
 */
import { makeDefinitions } from '../support/definitions.mjs';

const common = { class: 'pushed', roles: ['everybody'], privacy: 'public' };
const kpi = (id, type, source, more) => ({ id, title: id, about: `Fault KPI ${id}.`, type, ...common, source, ...more });
const columns = [{ key: 'n', title: 'Number', unit: 'integer', required: true }];
const numbered = (count, name) => Array.from({ length: count }, (_, i) => `${name}${String(i + 1).padStart(2, '0')}`);

export const ROWS_CAP = 40;
export const STREAM = 'fault-stream';
export const CHANNEL = 'fault-changes';

/** Fed from sophia.kpi_state. */
export const gauges = numbered(7, 'fault.g');
export const TABLE = 'fault.rows';
export const rowFields = numbered(ROWS_CAP - 10, `${TABLE}#r`);
/** Fed by Redis. */
export const streamed = numbered(2, 'fault.s');
export const published = numbered(2, 'fault.p');

const pg = { kind: 'pg' };
const redis = { kind: 'redis', channel: CHANNEL };

export const kpis = [
    ...gauges.map((id, i) => kpi(id, 'gauge', pg, { unit: 'integer', ...(i === 0 ? { priority: 'critical' } : {}) })),
    kpi(TABLE, 'table', pg, { cap: ROWS_CAP, columns }),
    ...[...streamed, ...published].map((id) => kpi(id, 'gauge', redis, { unit: 'integer' })),
];

export const boards = {
    whole: kpis.map(({ id }) => id),
    part: [...gauges.slice(0, 4), streamed[0]],
};

export const rules = { [TABLE]: { type: 'table', cap: ROWS_CAP } };

export const makeFaultDefinitions = () => makeDefinitions({ kpiList: kpis, boardList: boards });

/** Does this board show the KPI of this field? */
export const shows = (board, field) => boards[board].includes(field.split('#')[0]);
