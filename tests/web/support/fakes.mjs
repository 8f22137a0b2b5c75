/* A clock that moves when told, sockets that say what the test says, and random numbers in a given order. */

export class FakeClock {
    constructor(now = 1795255391000) {
        this.time = now;
        this.timers = new Map();
        this.nextId = 1;
    }

    now = () => this.time;

    setTimeout = (callback, delay) => {
        this.timers.set(this.nextId, { callback, at: this.time + Math.max(0, delay) });
        return this.nextId++;
    };

    clearTimeout = (id) => this.timers.delete(id);

    /** Time passes; timers fire when they are due. */
    advance(ms) {
        const end = this.time + ms;
        for (;;) {
            const due = [...this.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
            if (!due) {
                break;
            }
            const [id, { callback, at }] = due;
            this.timers.delete(id);
            this.time = Math.max(this.time, at);
            callback();
        }
        this.time = end;
    }

    /** The machine slept: wall time has passed, and everything due fires at once, late. */
    freeze(ms) {
        this.time += ms;
        this.advance(0);
    }
}

export function fakeSockets() {
    const opened = [];
    class FakeSocket {
        constructor(url, protocol) {
            Object.assign(this, { url, protocol, readyState: 0, sent: [], closedWith: undefined, isClosed: false });
            opened.push(this);
        }

        send(text) {
            this.sent.push(JSON.parse(text));
        }

        close(code) {
            this.isClosed = true;
            this.closedWith = code;
            this.readyState = 3;
        }

        // ---- what the test does as the gateway ----

        accept() {
            this.readyState = 1;
            this.onopen?.({});
        }

        say(message) {
            this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
        }

        end(code) {
            this.readyState = 3;
            this.onclose?.({ code });
        }

        sentOf(type) {
            return this.sent.filter((message) => message.type === type);
        }
    }
    return { FakeSocket, opened, newest: () => opened.at(-1) };
}

export const EPOCH = '6f1c0d9e2b7a4455';
export const position = (offset, nonce = '9f3a2b1c') => ({ epoch: EPOCH, offset, nonce });

export const welcome = (clock, members = {}) => ({
    type: 'welcome', protocol: 'kpi.v1', now: clock.now(), node: 'gw-1', build: '0.1.0', catalog: 'c0ffee12', heartbeat_ms: 5000,
    limits: { message_bytes: 16384, subscriptions: 16, messages_per_second: 50 }, ...members,
});
export const subscribed = (resume, board = 'executive') => ({ type: 'subscribed', board, resume, max_rate: 0, hidden: false });
export const snapshot = (to, set = {}, members = {}) => ({
    type: 'snapshot', board: 'executive', epoch: EPOCH, to, nonce: '9f3a2b1c', set, history: {}, now: 1795255391000, ...members,
});
export const update = (from, to, set = {}, members = {}) => ({
    type: 'update', board: 'executive', epoch: EPOCH, from, to, nonce: '9f3a2b1c', set, del: [], changed_at: 1795255391000, ...members,
});
export const heartbeat = (to, members = {}) => ({
    type: 'heartbeat', now: 1795255391000, catalog: 'c0ffee12', board: 'executive', epoch: EPOCH, to, nonce: '9f3a2b1c', sources: {}, ...members,
});
