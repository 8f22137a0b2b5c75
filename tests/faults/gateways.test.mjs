/* Gateways that die, freeze and restart while values change: viewers go on elsewhere, and nobody needs a snapshot. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sleep } from '../support/waiting.mjs';
import { startScene } from './scene.mjs';

let scene;
before(async () => { scene = await startScene({ seed: 11 }); });
after(async () => {
    await scene?.end();
    await scene?.bed.destroy();
});

test('a gateway is killed: its viewers go on at the other one without a snapshot', async () => {
    const { nodes: [node] } = scene.bed;
    const earlier = scene.snapshots;
    await scene.during(async () => {
        await sleep(500);
        await node.kill();
        await sleep(1500);
        await node.start();
    });
    assert.equal(scene.snapshots, earlier, 'somebody needed a snapshot');
    assert.ok(scene.followers.every(({ counts }) => counts.connects <= 6), JSON.stringify(scene.followers.map(({ counts }) => counts)));
});

test('a gateway freezes for three seconds and catches up', async () => {
    const { nodes: [, node] } = scene.bed;
    await scene.during(async () => {
        await sleep(300);
        node.pause();
        await sleep(3000);
        node.resume();
    });
});

test('both gateways are killed and started: the order survives in Redis, and so do the positions', async () => {
    const { nodes } = scene.bed;
    const earlier = scene.snapshots;
    const epochs = scene.followers.map(({ copy }) => copy.epoch);
    await scene.during(async () => {
        await Promise.all(nodes.map((node) => node.kill()));
        await sleep(500);
        await Promise.all(nodes.map((node) => node.start()));
    });
    assert.deepEqual(scene.followers.map(({ copy }) => copy.epoch), epochs);
    assert.equal(scene.snapshots, earlier, 'somebody needed a snapshot');
});

test('a gateway stops in the orderly way: it drains, and ends clean', async () => {
    const { nodes: [node] } = scene.bed;
    const earlier = scene.snapshots;
    await scene.during(async () => {
        await node.stop();
        await node.start();
    });
    assert.equal(scene.snapshots, earlier, 'somebody needed a snapshot');
});
