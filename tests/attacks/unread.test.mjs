/*
 * Large answers that nobody reads. What is kept for all of them together has a limit, and who is beyond it is told to come again.
 * It keeps no producer out.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { kpis, makeDefinitions } from '../support/definitions.mjs';
import { until } from '../support/waiting.mjs';
import { refused, testAttacks } from './scene.mjs';
import { cutAll, get, openWires, PATIENCE } from './wire.mjs';

const MIB = 1 << 20;
const HELD_MIB = 64;
const ROWS = 240;
const COLUMNS = 7; // of text, a thousand letters each
const READERS = 50; // of 1.7 MB each
const HELD_MS = 1000;

const more = Array.from({ length: COLUMNS }, (_, i) => ({ key: `text${i}`, title: `Text ${i}`, unit: 'text' }));
const kpiList = kpis.map((kpi) => (kpi.id === 'test.rows' ? { ...kpi, columns: [...kpi.columns, ...more] } : kpi));

async function fill({ gateway }) {
    const texts = Object.fromEntries(more.map(({ key }) => [key, 'x'.repeat(1000)]));
    for (let from = 0; from < ROWS; from += 100) {
        const rows = Array.from({ length: 100 }, (_, i) => ({ field: `test.rows#${(from + i) % ROWS}`, value: { text: 'row', ...texts } }));
        const { accepted, unchanged, items } = await gateway.post(rows);
        assert.equal(accepted + unchanged, rows.length, JSON.stringify(items[0]));
    }
}

const directory = makeDefinitions({ kpiList });
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));

testAttacks({
    'large answers that nobody reads': {
        growth: (HELD_MIB + 32) * MIB, // with TLS each connection adds its buffers
        async run(scene) {
            const { port, gateway } = scene;
            await fill(scene);
            const wires = await openWires(port, READERS);
            wires.forEach(({ socket }) => socket.pause());
            wires.forEach((wire) => wire.say(get('/api/v1/dashboards/alpha')));
            let asked = 0;
            await until('the limit', async () => {
                asked++;
                return (await gateway.get('/metrics')).status === 503; // it is no small answer either
            }, PATIENCE);
            const full = performance.now();
            await until('producers to have gone on', () => performance.now() - full > HELD_MS); // the probe says whether they did
            cutAll(wires);
            return { [refused('overloaded')]: [1, READERS + asked] };
        },
    },
}, { config: { definitions: { dir: directory } } });
