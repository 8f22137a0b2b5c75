/*
 * Broken configurations and definitions: --check-config names file, place and what is wrong, and the gateway
 * does not start with them. Each directory of cases/ is one:
 *
 *   gateway.yaml      the configuration (absent: one that only names the definitions)
 *   definitions/      a whole set of definitions, or
 *   patch.json        changes to a copy of deploy/definitions: [{file, pointer, value}]; value null removes
 *   environment.json  variables
 *   expect.txt        one line per text that must appear
 *
 * SOPHIA_GATEWAY names the binary; without it, build/gateway/sophia-gateway.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const gateway = path.resolve(process.env.SOPHIA_GATEWAY ?? path.join(root, 'build/gateway/sophia-gateway'));
const shipped = path.join(root, 'deploy/definitions');
const START_DEADLINE_MS = 20000;

let workshop;
before(() => {
  workshop = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-check-config-'));
});
after(() => fs.rmSync(workshop, { recursive: true, force: true }));

/** Sets (or with null removes) what a JSON pointer names; the last step may be new. */
function applyPointer(document, pointer, value) {
  const steps = pointer.split('/').slice(1);
  const last = steps.pop();
  const target = steps.reduce((node, step) => node[step], document);
  if (value === null) {
    delete target[last];
  } else {
    target[last] = value;
  }
}

function copyDefinitions(source, patches) {
  const target = fs.mkdtempSync(path.join(workshop, 'case-'));
  const definitions = path.join(target, 'definitions');
  fs.cpSync(source, definitions, { recursive: true });
  for (const { file, pointer, value } of patches) {
    const name = path.join(definitions, file);
    const document = JSON.parse(fs.readFileSync(name, 'utf8'));
    applyPointer(document, pointer, value);
    fs.writeFileSync(name, JSON.stringify(document, null, 2));
  }
  return target;
}

function readIfThere(name, fallback) {
  return fs.existsSync(name) ? fs.readFileSync(name, 'utf8') : fallback;
}

/** Lays a case out in a directory of its own; returns the configuration file. */
function layOut(directory) {
  const own = path.join(directory, 'definitions');
  const patches = JSON.parse(readIfThere(path.join(directory, 'patch.json'), '[]'));
  const target = copyDefinitions(fs.existsSync(own) ? own : shipped, patches);
  const file = path.join(target, 'gateway.yaml');
  const plain = 'listen:\n  port: 0\ndefinitions:\n  dir: definitions\n';
  fs.writeFileSync(file, readIfThere(path.join(directory, 'gateway.yaml'), plain));
  return file;
}

/** Without our own variables, so that only the case's count; and the definitions of the source tree. */
function environmentOf(directory, file) {
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SOPHIA_')));
  if (!fs.readFileSync(file, 'utf8').includes('definitions:')) {
    environment.SOPHIA_DEFINITIONS_DIR = path.join(path.dirname(file), 'definitions');
  }
  return { ...environment, ...JSON.parse(readIfThere(path.join(directory, 'environment.json'), '{}')) };
}

function run(parameters, environment) {
  const result = spawnSync(gateway, parameters, { env: environment, encoding: 'utf8', timeout: START_DEADLINE_MS });
  assert.equal(result.error, undefined, `${gateway} ${parameters.join(' ')}: ${result.error}`);
  return { ...result, said: result.stdout + result.stderr };
}

function assertRefused(result, expected, how) {
  assert.equal(result.signal, null, `${how}: ended by ${result.signal}\n${result.said}`);
  assert.notEqual(result.status, 0, `${how}: exit code 0\n${result.said}`);
  for (const text of expected) {
    assert.ok(result.said.includes(text), `${how}: expected\n  ${text}\nfound\n${result.said}`);
  }
}

const names = fs.readdirSync(path.join(here, 'cases')).sort();
assert.ok(names.length >= 10, 'ten broken configurations or more');

for (const name of names) {
  test(name, () => {
    const directory = path.join(here, 'cases', name);
    const expected = fs.readFileSync(path.join(directory, 'expect.txt'), 'utf8').split('\n').filter(Boolean);
    const file = layOut(directory);
    const environment = environmentOf(directory, file);
    assert.ok(expected.length > 0, 'expect.txt is empty');
    assertRefused(run(['--check-config', '--config', file], environment), expected, '--check-config');
    assertRefused(run(['--config', file], environment), expected, 'start');
  });
}

test('what ships is accepted', () => {
  const file = path.join(fs.mkdtempSync(path.join(workshop, 'good-')), 'gateway.yaml');
  fs.copyFileSync(path.join(root, 'deploy/sophia-gateway.yaml'), file);
  const environment = { PATH: process.env.PATH, SOPHIA_DEFINITIONS_DIR: shipped };
  const result = run(['--check-config', '--config', file], environment);
  assert.equal(result.status, 0, result.said);
});

test('what --print-config prints is accepted', () => {
  const environment = { PATH: process.env.PATH, SOPHIA_DEFINITIONS_DIR: shipped, SOPHIA_LISTEN_PORT: '9123' };
  const first = run(['--print-config'], environment);
  assert.equal(first.status, 0, first.said);
  const file = path.join(fs.mkdtempSync(path.join(workshop, 'printed-')), 'gateway.yaml');
  fs.writeFileSync(file, first.stdout);
  const second = run(['--print-config', '--config', file], { PATH: process.env.PATH });
  assert.equal(second.stdout, first.stdout);
});
