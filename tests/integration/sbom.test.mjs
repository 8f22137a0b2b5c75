/* The list of what is in a gateway (deploy/sbom.mjs): well-formed CycloneDX, and complete. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { plainBinary, root } from '../support/gateway.mjs';

const script = path.join(root, 'deploy/sbom.mjs');
const make = (words, environment = {}) => spawnSync('node', [script, ...words], { encoding: 'utf8', env: { ...process.env, ...environment } });
const { stdout: text, stderr, status } = make([plainBinary], { SOURCE_DATE_EPOCH: '1790000000' });
assert.equal(status, 0, stderr);
const list = JSON.parse(text);

/** What the specification (CycloneDX 1.5) says of a component, as far as the list uses it. */
function checkComponent({ type, name, version, purl, hashes = [], licenses = [], supplier, properties = [], ...rest }) {
    assert.ok(['application', 'library'].includes(type), name);
    assert.ok(name && version, JSON.stringify({ name, version }));
    assert.match(purl, /^pkg:(deb\/debian|npm|generic)\/[^@\s]+@[^?\s]+(\?arch=\w+&distro=[\w.-]+)?$/);
    assert.equal(rest['bom-ref'], purl);
    assert.deepEqual(Object.keys(rest), ['bom-ref'], name);
    const digits = { 'SHA-256': 64, 'SHA-512': 128 };
    hashes.forEach(({ alg, content }) => assert.match(content, new RegExp(`^[0-9a-f]{${digits[alg]}}$`), `${name} ${alg}`));
    licenses.forEach(({ license }) => assert.match(license.id, /^[A-Za-z0-9.-]+$/));
    assert.ok(supplier === undefined || supplier.name);
    properties.forEach((property) => assert.deepEqual(Object.keys(property), ['name', 'value']));
}

test('the list is well-formed', () => {
    assert.deepEqual(Object.keys(list), ['$schema', 'bomFormat', 'specVersion', 'serialNumber', 'version', 'metadata', 'components', 'dependencies']);
    assert.deepEqual([list.bomFormat, list.specVersion, list.version], ['CycloneDX', '1.5', 1]);
    assert.match(list.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(list.metadata.timestamp, '2026-09-21T14:13:20.000Z');
    [list.metadata.component, ...list.components].forEach(checkComponent);
    const refs = [list.metadata.component, ...list.components].map((component) => component['bom-ref']);
    assert.equal(new Set(refs).size, refs.length, 'names are unique');
    assert.deepEqual(list.dependencies.map(({ ref }) => ref).sort(), [...refs].sort(), 'each has its entry');
    list.dependencies.forEach(({ ref, dependsOn }) => dependsOn.forEach((other) => assert.ok(refs.includes(other) && other !== ref, `${ref} -> ${other}`)));
});

test('everything in it is reached from the gateway, and nothing the gateway loads is left out', () => {
    const edges = new Map(list.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
    const seen = new Set();
    const visit = (ref) => {
        if (!seen.has(ref)) {
            seen.add(ref);
            edges.get(ref).forEach(visit);
        }
    };
    visit(list.metadata.component['bom-ref']);
    assert.equal(seen.size, list.components.length + 1);
    const names = new Set(list.components.map(({ name }) => name));
    const stage = fs.readFileSync(path.join(root, 'deploy/Containerfile'), 'utf8').match(/ca-certificates ([^\\]+)/)[1].trim().split(/\s+/);
    stage.forEach((name) => assert.ok(names.has(name), `${name}, which the image installs`));
    const { dependencies, devDependencies } = JSON.parse(fs.readFileSync(path.join(root, 'web/package.json'), 'utf8'));
    Object.keys(dependencies).forEach((name) => assert.ok(names.has(name), name));
    Object.keys(devDependencies).forEach((name) => assert.ok(!names.has(name), `${name} is for tests`));
    const loaded = execFileSync('ldd', [plainBinary], { encoding: 'utf8' }).match(/=> \//g).length;
    assert.ok(loaded > 10 && names.size > 15, `${loaded} libraries, ${names.size} packages`);
});

test('the same binary gives the same list, and what is no binary gives none', () => {
    assert.equal(make([plainBinary], { SOURCE_DATE_EPOCH: '1790000000' }).stdout, text);
    assert.equal(make([]).status, 2);
    const wrong = make([script]);
    assert.notEqual(wrong.status, 0);
    assert.equal(wrong.stdout, '');
});
