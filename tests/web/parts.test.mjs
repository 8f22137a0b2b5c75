/* What the views are made of, and that a page which is drawn all day keeps nothing of what it drew before. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Store } from '../../web/client/store.js';
import { App } from '../../web/views/app.js';
import { html } from '../../web/views/parts.js';
import { FakeNode } from './support/fake_document.mjs';
import { FixtureGateway } from './support/fixture_gateway.mjs';
import { EPOCH, snapshot, update } from './support/fakes.mjs';
import { valuesOf } from './support/fixture_values.mjs';

const { render } = await import(createRequire(new URL('../../web/package.json', import.meta.url)).resolve('preact'));
v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');

test('a template keeps nothing of what it made', () => {
    const still = () => html`<p class="still"><b /></p>`;
    const around = (text) => html`<div><p class="still"><b /></p>${text}</div>`;
    assert.notEqual(still(), still());
    assert.notEqual(still().props.children, still().props.children);
    const [first, second] = [around('a'), around('b')].map(({ props }) => props.children[0]);
    assert.equal(first.props.class, 'still');
    assert.notEqual(first, second);
});

/** The executive board without what draws on a canvas, filled, and a function that changes one of its fields and draws it. */
async function drawnBoard() {
    const gateway = new FixtureGateway();
    await gateway.start();
    await gateway.stop();
    const whole = gateway.definitions.find(({ id }) => id === 'executive');
    const layout = whole.layout.map((line) => ({ ...line, row: line.row.filter(({ kpi }) => whole.kpis[kpi].type !== 'series') }));
    const definition = { ...whole, layout, catalog: 'c0ffee12' };
    const { fields, history } = valuesOf(definition, Date.now(), 'normal');
    const store = new Store();
    store.setDefinition(definition);
    store.receive(snapshot(1, fields, { history, epoch: EPOCH }));
    store.setLink({ name: 'live', since: Date.now(), attempt: 0 });
    const root = new FakeNode(1, 'div');
    const view = { boardId: 'executive', theme: 'auto', shownTheme: 'light', density: 'comfortable', filter: '', rateS: 0, away: { walk: null }, parts: {} };
    const names = Object.keys(fields);
    let offset = 1;
    return () => {
        const name = names[offset % names.length];
        store.receive(update(offset, ++offset, { [name]: { ...fields[name], rev: offset, as_of: Date.now() } }));
        render(html`<${App} store=${store} view=${view} actions=${{}} />`, root);
    };
}

function heapAfter(draw, count) {
    for (let i = 0; i < count; i++) {
        draw();
    }
    collect();
    return process.memoryUsage().heapUsed;
}

test('a page that is drawn again and again does not keep what it drew before', async (t) => {
    globalThis.document ??= { documentElement: new FakeNode(1, 'html') };
    const draw = await drawnBoard();
    const before = heapAfter(draw, 200);
    const kept = (heapAfter(draw, 200) - before) / 200;
    t.diagnostic(`${Math.round(kept)} bytes kept of each drawing`);
    assert.ok(kept < 4000, `${Math.round(kept)} bytes are kept of each drawing`);
});
