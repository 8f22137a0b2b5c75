/*
 * A viewer that never gives up: cut, it goes on at another gateway with its position; silent for too long, it hangs up
 * itself. Everything it is told goes through the checks of viewer.mjs and, position by position, through the registry that
 * all followers share: two viewers at one position hold the same board, whoever told them, whenever.
 */
import crypto from 'node:crypto';
import { WsViewer } from '../support/viewer.mjs';
import { limited, sleep, until } from '../support/waiting.mjs';
import { rules } from './definitions.mjs';

const SILENT_MS = 3000;
const MAX_POSITIONS = 100000;

/** I3: what was seen at each position. */
export class Registry {
    constructor() {
        this.digests = new Map();
        this.violations = [];
        this.mayBeRebased = false;   // for all followers: Redis may have lost the newest part of the order
        this.mayLoseCommits = false; // PostgreSQL may have: a new epoch begins with what was shown, and may then step back once
    }

    note(copy, who) {
        const key = `${copy.id} ${copy.position}`;
        const text = JSON.stringify([...copy.fields].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { v, ver, rev, state, as_of }]) =>
            [name, v, ver, rev, state, as_of]));
        const digest = crypto.createHash('md5').update(text).digest('base64');
        const known = this.digests.get(key);
        if (known === undefined) {
            this.digests.set(key, digest);
            if (this.digests.size > MAX_POSITIONS) {
                this.digests.delete(this.digests.keys().next().value);
            }
        } else if (known !== digest) {
            this.violations.push(`${who}: another board at the same position ${key}: ${text.slice(0, 600)}`);
        }
    }
}

export class Follower {
    /** ports: of the gateways, the preferred first. */
    constructor(name, ports, { board = 'whole', registry = new Registry(), random = Math.random } = {}) {
        Object.assign(this, { name, ports, board, registry, random });
        this.violations = [];
        this.counts = { connects: 0, snapshots: 0, updates: 0 };
        this.kept = null; // the BoardCopy of earlier connections
        this.versions = new Map(); // field -> [epoch, version]
        this.heardAt = performance.now();
        this.sources = {};
        this.isWanted = true;
    }

    start() {
        this.loop = this.run();
        return until(`${this.name} to have its board`, () => this.copy?.epoch, { within: 20000 });
    }

    get copy() {
        return this.viewer?.copies.get(this.board) ?? this.kept;
    }

    get isConnected() {
        return this.viewer !== undefined && !this.viewer.isClosed && performance.now() - this.heardAt < SILENT_MS;
    }

    /** Has it been told that not everything is up to date? */
    get isWarned() {
        return !this.isConnected || Object.values(this.sources).some(({ up }) => !up);
    }

    async run() {
        for (let attempt = 0; this.isWanted; attempt++) {
            const port = this.ports[attempt % this.ports.length];
            try {
                await this.connect(port);
                while (this.isWanted && this.isConnected) {
                    await sleep(20);
                }
            } catch { /* that one is down: the next */ }
            this.hangUp();
            await sleep(20 + this.random() * 200);
        }
    }

    async connect(port) {
        const opening = WsViewer.open(port, { wire: 'raw', keeps: false, rules, copy: this.kept ?? undefined });
        const viewer = await limited('a connection', opening, 2000).catch((error) => {
            opening.then((late) => late.cut(), () => {});
            throw error;
        });
        this.viewer = viewer;
        viewer.onMessage = (message) => this.take(viewer, message);
        this.counts.connects++;
        this.heardAt = performance.now();
        viewer.copy(this.board).mayBeRebased = this.registry.mayBeRebased;
        const position = this.kept?.position;
        viewer.subscribe(this.board, position ? { position } : {});
    }

    take(viewer, message) {
        this.heardAt = performance.now();
        if (message.type === 'heartbeat') {
            this.sources = message.sources;
        } else if (message.type === 'snapshot' || message.type === 'update') {
            const copy = viewer.copy(this.board);
            this.counts[`${message.type}s`]++;
            this.checkVersions(message);
            this.registry.note(copy, this.name);
            this.onState?.(message);
        } else if (message.type === 'error') {
            this.violations.push(`${this.name}: ${JSON.stringify(message)}`);
        }
        viewer.copy(this.board).mayBeRebased = this.registry.mayBeRebased;
    }

    /** I2: within an epoch no field's version goes back. */
    checkVersions({ type, epoch, set }) {
        const isFree = type === 'snapshot' && this.registry.mayBeRebased;
        for (const [field, { ver }] of Object.entries(set)) {
            const [knownEpoch, known] = this.versions.get(field) ?? [];
            if (ver !== undefined && knownEpoch === epoch && ver < known && !isFree) {
                this.violations.push(`${this.name}: version of ${field} goes back from ${known} to ${ver} in a ${type}`);
            }
            if (ver !== undefined) {
                this.versions.set(field, [epoch, type === 'snapshot' && this.registry.mayLoseCommits ? 0 : ver]);
            }
        }
    }

    /** Ends the connection and keeps the board. */
    hangUp() {
        if (this.viewer) {
            this.violations.push(...this.ofViewer());
            this.kept = this.viewer.copies.get(this.board)?.clone() ?? this.kept;
            this.viewer.cut();
            this.viewer = undefined;
        }
        this.sources = {};
    }

    /** A connection may end in any way here. */
    ofViewer() {
        return (this.viewer?.everyViolation() ?? []).filter((text) => !/^(read|write) E[A-Z]+$/.test(text)).map((text) => `${this.name}: ${text}`);
    }

    everyViolation() {
        return [...this.violations, ...this.ofViewer()];
    }

    async end() {
        this.isWanted = false;
        this.hangUp();
        await this.loop;
    }
}
