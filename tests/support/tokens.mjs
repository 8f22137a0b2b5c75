/*
 * An issuer of signed tokens: keys of its own, tokens good and bad, the file of public keys that a gateway reads. Nothing of the
 * gateway's: what it checks is made here by node:crypto.
 */
import { constants, createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const base64url = (value) =>
    Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString('base64url');

/** Per algorithm: a new key {jwk, sign(text)}. */
const makers = {
    HS256: () => {
        const secret = randomBytes(32);
        return {
            jwk: { kty: 'oct', k: secret.toString('base64url') },
            sign: (text) => createHmac('sha256', secret).update(text).digest(),
        };
    },
    RS256: () => pair('rsa', { modulusLength: 2048 }, (key) => (text) => sign('sha256', text, key)),
    PS256: () => pair('rsa', { modulusLength: 2048 }, (key) => (text) =>
        sign('sha256', text, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })),
    ES256: () => pair('ec', { namedCurve: 'P-256' }, (key) => (text) => sign('sha256', text, { key, dsaEncoding: 'ieee-p1363' })),
    EdDSA: () => pair('ed25519', {}, (key) => (text) => sign(null, text, key)),
};

function pair(type, options, signerOf) {
    const { publicKey, privateKey } = generateKeyPairSync(type, options);
    return {
        jwk: publicKey.export({ format: 'jwk' }),
        pem: publicKey.export({ format: 'pem', type: 'spki' }),
        privateJwk: privateKey.export({ format: 'jwk' }),
        sign: signerOf(privateKey),
    };
}

export const algorithms = Object.keys(makers);
export const nowS = () => Math.floor(Date.now() / 1000);

export class Issuer {
    /** issuer and audience: what its tokens say unless told otherwise. */
    constructor({ issuer = 'https://login.test', audience = 'sophia' } = {}) {
        this.issuer = issuer;
        this.audience = audience;
        this.keys = new Map(); // kid -> {algorithm, jwk, sign}
        this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-tokens-'));
        this.file = path.join(this.directory, 'keys.json');
        process.on('exit', () => fs.rmSync(this.directory, { recursive: true, force: true }));
    }

    /** A new key of this name. It counts once the file is written and read. */
    add(kid, algorithm) {
        this.keys.set(kid, { algorithm, ...makers[algorithm]() });
        return this;
    }

    /** The file of keys; which: their names, all by default. */
    write(which = [...this.keys.keys()]) {
        const keys = which.map((kid) => {
            const { algorithm, jwk } = this.keys.get(kid);
            return { kid, alg: algorithm, use: 'sig', ...jwk };
        });
        this.text = JSON.stringify({ keys });
        fs.writeFileSync(this.file, this.text, { mode: 0o600 });
        return this;
    }

    /** The options of a gateway that trusts this issuer. */
    options(more = {}) {
        return { jwk_file: this.file, issuer: this.issuer, audience: this.audience, leeway_s: 0, ...more };
    }

    claims(more = {}) {
        const now = nowS();
        return { iss: this.issuer, aud: this.audience, sub: 'alice', iat: now, exp: now + 600, ...more };
    }

    /** A token. kid: who signs. header and claims: members more, or other, or (undefined) less; as text they are taken as they are. */
    mint(claims = {}, { kid = this.keys.keys().next().value, header = {} } = {}) {
        const { algorithm, sign: signer } = this.keys.get(kid);
        const head = typeof header === 'string' || Buffer.isBuffer(header) ? header : { alg: algorithm, kid, typ: 'JWT', ...header };
        const isRaw = typeof claims === 'string' || Buffer.isBuffer(claims);
        const text = `${base64url(head)}.${base64url(isRaw ? claims : this.claims(claims))}`;
        return `${text}.${signer(Buffer.from(text)).toString('base64url')}`;
    }
}
