/*
 * TLS for tests: a certificate authority of the run's own, certificates from it by the openssl command, and which ports
 * speak TLS. Clients of tests/support look here, so that a test need not say it twice.
 *
 * SOPHIA_GATEWAY_TLS=1 in the environment makes every gateway that a test starts speak TLS: the same tests, over https and wss.
 * Processes that a test starts later know the authority and the ports from the environment.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';

export const wantsTls = process.env.SOPHIA_GATEWAY_TLS === '1';

const inherited = process.env.SOPHIA_GATEWAY_TLS_AUTHORITY; // by a process that a test started: it starts no gateways
let directory;

const openssl = (...words) => execFileSync('openssl', words, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });

function makeAuthority() {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-tls-'));
    process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem',
        '-days', '30', '-subj', '/CN=authority of a test run');
    process.env.SOPHIA_GATEWAY_TLS_AUTHORITY = path.join(directory, 'ca.pem');
    return fs.readFileSync(path.join(directory, 'ca.pem'), 'utf8');
}

let authority;
/** PEM of the authority: the `ca` of clients. */
export function caOf() {
    authority ??= inherited ? fs.readFileSync(inherited, 'utf8') : makeAuthority();
    return authority;
}

/**
 * A certificate for 127.0.0.1 and `names`, and its key: {certificate, key, serial}, the first two are files. `name` is its common
 * name; days may be negative: it has expired.
 */
export function makeCertificate(name = 'gateway', { days = 30, kind = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], names = ['localhost'] } = {}) {
    caOf();
    const file = (ending) => path.join(directory, `${name}.${ending}`);
    fs.writeFileSync(file('ext'), `subjectAltName=${names.map((each) => `DNS:${each},`).join('')}IP:127.0.0.1\n`);
    openssl('req', '-new', '-newkey', ...kind, '-nodes', '-keyout', file('key'), '-out', file('csr'), '-subj', `/CN=${name}`);
    // x509 takes no dates, and days that are over only from OpenSSL 3 on.
    openssl('x509', '-req', '-in', file('csr'), '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', String(days),
        '-extfile', file('ext'), '-out', file('pem'));
    fs.chmodSync(file('key'), 0o600);
    return { certificate: file('pem'), key: file('key') };
}

const securePorts = new Set((process.env.SOPHIA_GATEWAY_TLS_PORTS ?? '').split(',').filter(Boolean).map(Number));

/** From now on, clients of tests/support speak TLS with this port. */
export function markSecure(port) {
    securePorts.add(port);
    process.env.SOPHIA_GATEWAY_TLS_PORTS = [...securePorts].join();
}

export const isSecure = (port) => securePorts.has(Number(port));

/** A socket to the gateway at `port`, with TLS if it speaks that: 'usable' is when it may be written to. */
export function connectTo(port, options = {}) {
    const all = { port, host: '127.0.0.1', ...options };
    const socket = isSecure(port) ? tls.connect({ ca: caOf(), servername: 'localhost', ...all }) : net.connect(all);
    socket.once(isSecure(port) ? 'secureConnect' : 'connect', () => socket.emit('usable'));
    return socket;
}
