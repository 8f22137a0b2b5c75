/*
 * One viewer's copy of a board, kept by the text of PROTOCOL.md, "Overlays" and nothing else, together with everything
 * that must hold on the way there: what breaks a promise is put into `violations`, with the message at fault.
 */
import { isDeepStrictEqual } from 'node:util';

const isNonce = (text) => typeof text === 'string' && /^[0-9a-f]{8}$/.test(text);
const isEpoch = (text) => typeof text === 'string' && /^[0-9a-f]{16}$/.test(text);
const states = new Set(['partial', 'nodata', 'invalid', 'unreachable']);

export class BoardCopy {
    /** rules: {kpi: {type, cap}} of the KPIs that trim. */
    constructor(id, rules) {
        this.id = id;
        this.rules = rules;
        this.mayBeRebased = false; // the order may have lost its newest part: a snapshot may go back within the epoch
        this.fields = new Map(); // name -> value
        this.epoch = null;
        this.offset = -1;
        this.nonce = null;
        this.violations = [];
        this.counts = { snapshots: 0, updates: 0, dropped: 0, gaps: 0 };
    }

    get position() {
        return this.epoch === null ? undefined : `${this.epoch}.${this.offset}.${this.nonce}`;
    }

    /** A copy that another connection goes on from. */
    clone() {
        const copy = new BoardCopy(this.id, this.rules);
        copy.mayBeRebased = this.mayBeRebased;
        copy.fields = new Map(this.fields);
        Object.assign(copy, { epoch: this.epoch, offset: this.offset, nonce: this.nonce });
        return copy;
    }

    blame(what, message) {
        this.violations.push(`${this.id}: ${what}: ${JSON.stringify(message).slice(0, 400)}`);
    }

    takeSnapshot(message) {
        this.checkShape(message);
        const isSameHistory = message.epoch === this.epoch && !this.mayBeRebased;
        const hasSameEyes = message.view === this.view; // under another view the same revision may look otherwise
        this.view = message.view;
        if (isSameHistory && message.to < this.offset) {
            this.blame(`snapshot goes back from ${this.offset}`, message);
        }
        for (const [name, value] of Object.entries(message.set)) {
            this.checkValue(name, value, -1, message);
            if (isSameHistory && hasSameEyes) {
                this.checkRevision(name, value, message);
            }
        }
        const before = Object.keys(message.set).length;
        this.fields = new Map(Object.entries(message.set));
        this.trim();
        if (this.fields.size !== before) {
            this.blame('snapshot holds more rows than the cap', message);
        }
        this.moveTo(message);
        this.counts.snapshots++;
    }

    /** 'applied', 'dropped' or 'gap'. */
    takeUpdate(message) {
        this.checkShape(message);
        if (message.epoch !== this.epoch || message.from > this.offset) {
            this.counts.gaps++;
            this.blame(`gap at ${this.position}`, message);
            return 'gap';
        }
        if (message.to <= this.offset) {
            this.counts.dropped++;
            return 'dropped';
        }
        for (const [name, value] of Object.entries(message.set)) {
            this.checkValue(name, value, message.from, message);
            this.checkRevision(name, value, message);
            this.fields.set(name, value);
        }
        for (const name of message.del) {
            if (Object.hasOwn(message.set, name)) {
                this.blame(`${name} is both set and deleted`, message);
            }
            this.fields.delete(name);
        }
        this.trim();
        this.moveTo(message);
        this.counts.updates++;
        return 'applied';
    }

    moveTo({ epoch, to, nonce }) {
        this.epoch = epoch;
        this.offset = to;
        this.nonce = nonce;
    }

    checkShape(message) {
        const isSnapshot = message.type === 'snapshot';
        const isGood = isEpoch(message.epoch) && isNonce(message.nonce) && Number.isSafeInteger(message.to) &&
            message.set !== null && typeof message.set === 'object' &&
            (isSnapshot || (Number.isSafeInteger(message.from) && message.from <= message.to && Array.isArray(message.del) &&
                Number.isSafeInteger(message.changed_at)));
        if (!isGood) {
            this.blame('not the members PROTOCOL.md lists', message);
        }
    }

    checkValue(name, value, from, message) {
        if (!Number.isSafeInteger(value.rev) || value.rev <= from || value.rev > message.to) {
            this.blame(`rev of ${name} is outside (${from}, ${message.to}]`, message);
        }
        if (value.v === null || (value.state !== undefined && !states.has(value.state)) || !Number.isSafeInteger(value.as_of)) {
            this.blame(`value of ${name} is not as PROTOCOL.md says`, value);
        }
    }

    /** A field never goes back, and one rev is one value. */
    checkRevision(name, value, message) {
        const held = this.fields.get(name);
        if (held && (value.rev < held.rev || (value.rev === held.rev && !isDeepStrictEqual(value, held)))) {
            this.blame(`${name} goes from rev ${held.rev} to ${value.rev}`, message);
        }
    }

    trim() {
        for (const [kpi, { type, cap }] of Object.entries(this.rules)) {
            if (type === 'table') {
                continue;
            }
            const names = [...this.fields.keys()].filter((name) => name.startsWith(`${kpi}#`));
            if (names.length > cap) {
                const newestFirst = type === 'feed' ? (a, b) => this.fields.get(b).rev - this.fields.get(a).rev
                    : (a, b) => Buffer.compare(Buffer.from(b), Buffer.from(a));
                names.sort(newestFirst).slice(cap).forEach((name) => this.fields.delete(name));
            }
        }
    }
}
