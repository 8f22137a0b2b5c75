/*
 * kpi.v1 viewers that check what they are told. A viewer keeps every message with the time it came, one BoardCopy per
 * board, and the promises that were broken; assertSound() says whether there were any.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import { BoardCopy } from './board_copy.mjs';
import { LibraryWebSocket, RawWebSocket } from './websockets.mjs';
import { caOf, isSecure } from './tls.mjs';
import { rules as testRules } from './definitions.mjs';
import { until } from './waiting.mjs';

/** What both kinds share: messages in, copies and checks out. */
class Viewer {
    /** copy: what an earlier viewer held of a board, to go on from. */
    constructor({ rules = testRules, keeps = true, copy } = {}) {
        this.rules = rules;
        this.keeps = keeps; // whether messages are remembered
        this.messages = []; // {at, message}; at: ms, as performance.now()
        this.seen = 0;      // messages that next() has passed
        this.counts = {};   // by type
        this.copies = new Map(copy ? [[copy.id, copy.clone()]] : []);
        this.violations = [];
        this.isClosed = false;
        this.onMessage = () => {};
        this.lastHeartbeat = null;
    }

    copy(board) {
        if (!this.copies.has(board)) {
            this.copies.set(board, new BoardCopy(board, this.rules));
        }
        return this.copies.get(board);
    }

    take(text) {
        const at = performance.now();
        let message;
        try {
            message = JSON.parse(text);
        } catch {
            this.violations.push(`not JSON: ${text.slice(0, 200)}`);
            return undefined;
        }
        this.counts[message.type] = (this.counts[message.type] ?? 0) + 1;
        if (this.keeps) {
            this.messages.push({ at, message });
        }
        if (message.type === 'snapshot') {
            this.copy(message.board).takeSnapshot(message);
        } else if (message.type === 'update') {
            this.copy(message.board).takeUpdate(message);
        } else if (message.type === 'heartbeat' && message.board) {
            this.checkHeartbeat(message);
        }
        this.onMessage(message, at);
        return message;
    }

    /** "This board is at this position": never behind what the viewer was sent, and the same history. */
    checkHeartbeat(message) {
        this.lastHeartbeat = message;
        const { epoch, offset, nonce, mayBeRebased } = this.copy(message.board);
        if (!mayBeRebased && epoch === message.epoch && (message.to < offset || (message.to === offset && message.nonce !== nonce))) {
            this.violations.push(`heartbeat of another history at ${epoch}.${offset}.${nonce}: ${JSON.stringify(message)}`);
        }
    }

    ofType(type) {
        return this.messages.filter(({ message }) => message.type === type).map(({ message }) => message);
    }

    /** The next message of this type after those that next() returned before; what lies between is passed over. */
    async next(type, { matching = () => true, within = 10000 } = {}) {
        const find = () => this.messages.findIndex(({ message }, i) => i >= this.seen && message.type === type && matching(message));
        await until(`a message "${type}" (${this.describe()})`, () => find() >= 0, { within, every: 5 });
        const found = find();
        this.seen = found + 1;
        return this.messages[found].message;
    }

    describe() {
        const last = this.messages.slice(-3).map(({ message }) => JSON.stringify(message).slice(0, 200));
        return `closed: ${this.isClosed} ${this.code ?? ''}, counts ${JSON.stringify(this.counts)}, last ${last.join(' | ')}`;
    }

    everyViolation() {
        return [...this.violations, ...[...this.copies.values()].flatMap((copy) => copy.violations)];
    }

    assertSound() {
        assert.deepEqual(this.everyViolation(), []);
    }

    /** Waits until this board is at `offset` or beyond. */
    reached(board, offset, options) {
        return until(`${board} at ${offset} (${this.describe()})`, () => this.copy(board).offset >= offset, options);
    }
}

export class WsViewer extends Viewer {
    /**
     * Connects and, unless hello is false, says hello. options: wire 'ws' (the package, default) or 'raw'; hello: members;
     * rules, keeps, copy; headers.
     */
    static async open(port, { wire = 'ws', hello = {}, headers = {}, ...options } = {}) {
        const viewer = new WsViewer(options);
        const socket = await (wire === 'raw' ? RawWebSocket : LibraryWebSocket).open(port, { headers });
        viewer.attach(socket);
        if (hello) {
            viewer.say({ type: 'hello', client: 'test', ...hello });
        }
        return viewer;
    }

    attach(socket) {
        this.socket = socket;
        socket.onText = (text) => this.take(text);
        socket.onClose = (code, reason) => {
            this.isClosed = true;
            this.code = code;
            this.reason = reason;
            if (socket.error) {
                this.violations.push(`${socket.error.message}`);
            }
            this.onClosed?.();
        };
    }

    say(message) {
        this.socket.text(typeof message === 'string' ? message : JSON.stringify(message));
    }

    subscribe(board, members = {}) {
        this.say({ type: 'subscribe', board, ...members });
    }

    /** Subscribes and resolves with the `subscribed` answer once the board is there or whole. */
    async watch(board, members = {}, options) {
        this.subscribe(board, members);
        const subscribed = await this.next('subscribed', { matching: (message) => message.board === board, ...options });
        if (subscribed.resume === 'snapshot') {
            await this.next('snapshot', { matching: (message) => message.board === board, ...options });
        }
        return subscribed;
    }

    pause() {
        this.socket.pause();
    }

    resume() {
        this.socket.resume();
    }

    /** Resolves with the code the gateway closed with. */
    async closed(options) {
        await until(`the close (${this.describe()})`, () => this.isClosed, options);
        return this.code;
    }

    async close() {
        if (!this.isClosed) {
            this.socket.close();
            await this.closed();
        }
    }

    /** Cut, without a word. */
    cut() {
        this.socket.destroy();
    }
}

export class SseViewer extends Viewer {
    /** Resolves once the head of the answer is there; it must be 200 unless `status` says otherwise. */
    static open(port, board, { lastEventId, query = '', headers = {}, ...options } = {}) {
        const viewer = new SseViewer(options);
        viewer.lastEventId = lastEventId;
        viewer.lines = [];
        viewer.rest = '';
        viewer.retries = [];
        const all = { accept: 'text/event-stream', ...(lastEventId ? { 'last-event-id': lastEventId } : {}), ...headers };
        return new Promise((resolve, reject) => {
            const { get } = isSecure(port) ? https : http;
            const secure = isSecure(port) ? { ca: caOf() } : {};
            viewer.call = get({ host: '127.0.0.1', port, path: `/api/v1/dashboards/${board}/events${query}`, headers: all, agent: false, ...secure },
                (response) => {
                    viewer.response = response;
                    response.setEncoding('utf8');
                    response.on('data', (text) => viewer.receive(text));
                    response.on('error', () => {});
                    response.on('close', () => { viewer.isClosed = true; });
                    resolve(viewer);
                });
            viewer.call.on('error', (error) => (viewer.response ? undefined : reject(error)));
        });
    }

    receive(text) {
        this.rest += text;
        for (let end = this.rest.indexOf('\n'); end >= 0; end = this.rest.indexOf('\n')) {
            const line = this.rest.slice(0, end);
            this.rest = this.rest.slice(end + 1);
            if (line !== '') {
                this.lines.push(line);
            } else {
                this.dispatch(this.lines.splice(0));
            }
        }
    }

    dispatch(lines) {
        const event = { data: [] };
        for (const line of lines) {
            const [, name, value] = line.match(/^(\w*): ?(.*)$/) ?? [];
            if (name === 'data') {
                event.data.push(value);
            } else if (name === 'retry') {
                this.retries.push(Number(value));
            } else if (name) {
                event[name] = value;
            }
        }
        if (event.data.length === 0) {
            return;
        }
        const message = this.take(event.data.join('\n'));
        const isState = message?.type === 'snapshot' || message?.type === 'update';
        const id = isState ? `${message.epoch}.${message.to}.${message.nonce}` : undefined;
        if (message && (message.type !== event.event || event.id !== id)) {
            this.violations.push(`event ${event.event} with id ${event.id} carries ${JSON.stringify(message).slice(0, 200)}`);
        }
        this.lastEventId = event.id ?? this.lastEventId;
    }

    cut() {
        this.call.destroy();
    }
}
