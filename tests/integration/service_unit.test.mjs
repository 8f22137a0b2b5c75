/*
 * The process as it is shipped: what the service unit leaves it, whether it can work with that, and how it was compiled. systemd
 * itself is not needed, but for systemd-analyze; what it would do with system calls is done by unit_filter.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { isSanitized, plainBinary, root, startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const EXPOSURE_MAX = 1.2; // of 10; what is left is what a server needs: the network, and the host's files to read
const unit = path.join(root, 'deploy/sophia-gateway.service');
const build = path.resolve(path.dirname(plainBinary), '..');
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-unit-'));
after(async () => {
    await stopAll();
    fs.rmSync(directory, { recursive: true, force: true });
});

const run = (program, ...words) => spawnSync(program, words, { encoding: 'utf8' });
const hasAnalyze = run('systemd-analyze', '--version').status === 0;
const noAnalyze = !hasAnalyze && 'systemd-analyze is not installed (package systemd)';
const notTheProduct = isSanitized(plainBinary) && 'the sanitized build is not the product';

test('systemd rates the unit as little exposed', { skip: noAnalyze }, (t) => {
    const { stdout, stderr } = run('systemd-analyze', 'security', '--offline=true', '--no-pager', unit);
    const exposure = stdout.match(/Overall exposure level for sophia-gateway\.service: (\d+\.\d)/);
    assert.ok(exposure, stdout + stderr);
    t.diagnostic(exposure[0]);
    assert.ok(Number(exposure[1]) <= EXPOSURE_MAX, stdout.split('\n').filter((line) => line.startsWith('✗')).join('\n'));
});

/** The calls of a set, those of the sets in it included; or one call. */
function callsOf(word) {
    if (!word.startsWith('@')) {
        return [word];
    }
    const { stdout, status } = run('systemd-analyze', 'syscall-filter', '--no-pager', word);
    assert.equal(status, 0, word);
    return stdout.split('\n').slice(1).map((line) => line.trim()).filter((line) => line && !line.startsWith('#')).flatMap(callsOf);
}

/** What the lines SystemCallFilter= of the unit leave, in their order. */
function allowedCalls() {
    const allowed = new Set();
    for (const [, words] of fs.readFileSync(unit, 'utf8').matchAll(/^SystemCallFilter=(.*)$/gm)) {
        const isTaken = words.startsWith('~');
        words.replace('~', '').split(/\s+/).flatMap(callsOf).forEach((call) => (isTaken ? allowed.delete(call) : allowed.add(call)));
    }
    return [...allowed, 'execve']; // which systemd allows to start the program with
}

test('with the calls that the unit leaves it the gateway serves, confines itself, and audits', { skip: noAnalyze || notTheProduct }, async () => {
    const filter = path.resolve(path.dirname(strictBinary), '../tests/integration/unit_filter'); // the plain build has no test programs
    const names = path.join(directory, 'calls');
    const launcher = path.join(directory, 'gateway.sh');
    const audit = path.join(directory, 'audit.log');
    const calls = allowedCalls();
    assert.ok(calls.includes('accept4') && !calls.includes('setuid') && !calls.includes('mount'), calls.join(' '));
    fs.writeFileSync(names, calls.join('\n'));
    fs.writeFileSync(launcher, `#!/bin/sh\nexec ${filter} ${names} ${plainBinary} "$@"\n`, { mode: 0o755 });
    const gateway = await startGateway({ process: { confined: true, core_dumps: false }, audit: { file: audit } }, { binary: launcher });
    assert.equal(gateway.logged('not confined, continuing').length, 0, gateway.log);
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    await gateway.post({ field: 'test.level', value: 7 });
    assert.equal((await viewer.next('update')).set['test.level'].v, 7);
    gateway.signal('SIGHUP');
    await until('the reload', () => gateway.logged('definitions reloaded').length > 0);
    assert.match(fs.readFileSync(audit, 'utf8'), /"action":"subscribe"/);
    assert.deepEqual(gateway.records().filter(({ level }) => level === 'error'), []);
    await gateway.stop();
});

/* ---- how it was compiled ---- */

const elf = (...words) => {
    const { status, stdout, stderr } = run('readelf', '--wide', ...words, plainBinary);
    assert.equal(status, 0, stderr);
    return stdout;
};

test('the binary has no fixed address, no writable table of functions, and no stack to run', { skip: notTheProduct }, () => {
    const [header, segments, dynamic] = [elf('--file-header'), elf('--program-headers'), elf('--dynamic')];
    assert.match(header, /Type:\s+DYN/);
    assert.match(dynamic, /FLAGS_1\).*\bPIE\b/);
    assert.match(dynamic, /FLAGS\).*\bBIND_NOW\b/);
    assert.match(segments, /GNU_RELRO/);
    assert.match(segments, /GNU_STACK\s+(0x0+\s+){5}RW\s/);
    assert.doesNotMatch(segments, /LOAD.*RWE/);
    assert.doesNotMatch(dynamic, /TEXTREL|\(R(UN)?PATH\)/);
});

test('the binary checks its stack and the bounds of what it copies', { skip: notTheProduct }, () => {
    const symbols = elf('--dyn-syms');
    assert.match(symbols, /__stack_chk_fail@/);
    assert.match(symbols, /__(memcpy|snprintf|vsnprintf|strncpy|read|recv)_chk@/);
});

/** The command of each C file of the product. */
function commands() {
    return JSON.parse(fs.readFileSync(path.join(build, 'compile_commands.json'), 'utf8'))
        .filter(({ file }) => /(^|\/)(gateway|protocol)\/[^ ]*\.c$/.test(file) && !/tests\//.test(file));
}

test('every file of the binary was compiled with each protection', { skip: notTheProduct }, () => {
    const flags = ['-D_FORTIFY_SOURCE=3', '-fstack-protector-strong', '-fstack-clash-protection', '-fPIE'];
    const branches = process.arch === 'x64' ? ['-fcf-protection'] : [];
    const all = commands();
    assert.ok(all.length > 50, `${all.length} files`);
    for (const { file, command } of all) {
        const isLibrary = !command.includes('sophia-gateway.p');
        const missing = [...flags, ...branches].filter((flag) => !command.includes(flag) && !(flag === '-fPIE' && isLibrary && command.includes('-fPIC')));
        assert.deepEqual(missing, [], file);
        assert.doesNotMatch(command, / -O0| -fno-stack-protector| -U_FORTIFY_SOURCE/, file);
    }
});

test('indirect branches end where they are meant to (CET)', { skip: notTheProduct || (process.arch !== 'x64' && 'x86-64 only') }, () => {
    const ends = fs.readFileSync(plainBinary).toString('latin1').split('\xf3\x0f\x1e\xfa').length - 1; // endbr64
    assert.ok(ends > 1000, `${ends} of them`);
});
