/* `./dev stack` as a user meets it: live from SQL, a row changed by hand arrives, Ctrl-C leaves nothing behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { root } from '../support/gateway.mjs';
import { familyOf, isAlive, runNow } from '../support/private_server.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { limited, until } from '../support/waiting.mjs';

let stack;
after(() => stack?.child.kill('SIGTERM'));

/** Type and cap of every KPI of the built-in definitions. */
function builtInRules() {
    const directory = path.join(root, 'deploy/definitions/kpis');
    const kpis = fs.readdirSync(directory).flatMap((name) => JSON.parse(fs.readFileSync(path.join(directory, name), 'utf8')).kpis);
    return Object.fromEntries(kpis.filter(({ cap }) => cap).map(({ id, type, cap }) => [id, { type, cap }]));
}

/** The temporary directories that these processes work in. */
const directoriesOf = (pids) => [...new Set(pids.map((pid) => fs.readlinkSync(`/proc/${pid}/cwd`)))].filter((name) => name.startsWith(os.tmpdir()) && !root.startsWith(name));

function startStack() {
    const child = spawn(process.execPath, [path.join(root, 'loadtest/stack.mjs'), '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
    const started = { child, text: '', exit: new Promise((resolve) => { child.on('exit', (code, signal) => resolve(signal ?? code)); }) };
    for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (more) => { started.text += more; });
    }
    return started;
}

test('the stack is live from SQL, shows a row changed in psql, and ends with Ctrl-C', async () => {
    stack = startStack();
    await until('the stack to be up', () => {
        assert.equal(stack.child.exitCode, null, stack.text);
        return stack.text.includes('Ctrl-C ends everything');
    }, { within: 60000 });
    const ports = [...stack.text.matchAll(/http:\/\/127\.0\.0\.1:(\d+)\/ /g)].map((match) => Number(match[1]));
    assert.equal(ports.length, 3, stack.text);
    const viewers = await Promise.all(ports.map((port) => WsViewer.open(port, { rules: builtInRules() })));
    for (const viewer of viewers) {
        await viewer.watch('executive');
        await until('revenue', () => viewer.copy('executive').fields.get('exec.revenue_mtd')?.v !== undefined, { within: 10000 });
        assert.equal(viewer.messages.find(({ message }) => message.type === 'welcome').message.demo, undefined);
    }
    const missing = [...viewers[0].copy('executive').fields].filter(([, value]) => ['invalid', 'unreachable'].includes(value.state));
    assert.deepEqual(missing, [], 'values that the sample or its queries cannot give');

    const [, psql, statement] = stack.text.match(/^ +(psql .*) -c "(update .*)"$/m);
    const earlier = viewers[0].copy('executive').fields.get('exec.revenue_mtd').v;
    const began = performance.now();
    runNow(['sh', '-c', `${psql} -c "${statement}"`]);
    await Promise.all(viewers.map((viewer) => until('the changed row', () =>
        Number(viewer.copy('executive').fields.get('exec.revenue_mtd').v) >= Number(earlier) + 1000000, { within: 5000 })));
    console.log(`psql to three viewers: ${Math.round(performance.now() - began)} ms, psql itself included`);

    /* One gateway dies: nginx hands its viewers to the other, and the stack starts it again. */
    const [, pid] = stack.text.match(/kill -9 (\d+)/);
    process.kill(Number(pid), 'SIGKILL');
    const moved = await WsViewer.open(ports[0], { rules: builtInRules() });
    await moved.watch('executive');
    await until('the gateway to be back', () => stack.text.includes('gateway-1 is back'), { within: 20000 });

    viewers.concat(moved).forEach((viewer) => viewer.assertSound());
    const family = familyOf(stack.child.pid);
    const directories = directoriesOf(family);
    assert.ok(family.length > 8 && directories.length >= 6, `${family.length} processes in ${directories}`);
    stack.child.kill('SIGINT');
    assert.equal(await limited('the stack to end', stack.exit, 20000), 0, stack.text);
    await until('every process to be gone', () => family.filter(isAlive).length === 0, { within: 5000 });
    assert.deepEqual(directories.filter((name) => fs.existsSync(name)), []);
});
