/*
 * A small server that speaks enough kpi.v1 for sophia-load: ingest, the snapshot of a board, updates over WebSocket. `mistake`
 * says what it does wrong, once, at update number `at`; it shares no code with the gateway.
 */
import crypto from 'node:crypto';
import http from 'node:http';

const EPOCH = '00000000000000aa';

/** One unmasked text frame. */
function frame(message) {
    const text = Buffer.from(JSON.stringify(message));
    const head = text.length < 126 ? Buffer.from([0x81, text.length]) : Buffer.from([0x81, 126, text.length >> 8, text.length & 0xff]);
    return Buffer.concat([head, text]);
}

/** Texts of the masked frames in `bytes`, which are whole. */
function* texts(bytes) {
    for (let at = 0; at < bytes.length;) {
        const short = bytes[at + 1] & 0x7f;
        const length = short === 126 ? bytes.readUInt16BE(at + 2) : short;
        const mask = at + (short === 126 ? 4 : 2);
        yield Buffer.from(bytes.subarray(mask + 4, mask + 4 + length).map((byte, i) => byte ^ bytes[mask + (i & 3)])).toString();
        at = mask + 4 + length;
    }
}

/**
 * What can be wrong. Each gets the update that viewer `index` is about to be sent and returns what is sent instead; undefined: nothing.
 */
const mistakes = {
    none: (update) => update,
    skip: () => undefined,
    hide: (update) => ({ ...update, set: {} }),
    swap: (update, index) => (index % 2 === 0 ? update : { ...update, set: mapped(update.set, (value) => ({ ...value, v: value.v - 1 })) }),
    early: (update) => ({ ...update, from: update.from + 1 }),
    again: (update) => ({ ...update, to: update.from, from: update.from - 1, set: {} }),
    nonce: (update, index) => (index % 2 === 0 ? update : { ...update, nonce: 'ffffffff' }),
};

const mapped = (object, act) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, act(value)]));

export class WrongGateway {
    constructor({ mistake = 'none', at = 30 } = {}) {
        Object.assign(this, { distort: mistakes[mistake], at, fields: {}, offset: 0, nonce: '00000000', viewers: [], updates: 0 });
        this.server = http.createServer((request, response) => this.answer(request, response));
        this.server.on('upgrade', (request, socket) => this.greet(socket));
    }

    async start(board) {
        this.board = board;
        await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
        this.port = this.server.address().port;
        return this;
    }

    stop() {
        this.viewers.forEach((socket) => socket.destroy());
        this.server.closeAllConnections?.();
        return new Promise((resolve) => { this.server.close(resolve); });
    }

    position() {
        return { board: this.board, epoch: EPOCH, to: this.offset, nonce: this.nonce };
    }

    snapshot() {
        return { type: 'snapshot', ...this.position(), set: this.fields, history: {}, now: Date.now() };
    }

    greet(socket) {
        socket.on('error', () => {});
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
        socket.on('data', (bytes) => {
            for (const text of texts(bytes)) {
                if (JSON.parse(text).type === 'subscribe') {
                    socket.write(frame(this.snapshot()));
                    if (!this.viewers.includes(socket)) {
                        this.viewers.push(socket);
                    }
                }
            }
        });
    }

    apply(changes) {
        const from = this.offset;
        const set = {};
        for (const { field, value } of changes) {
            this.offset++;
            set[field] = { rev: this.offset, as_of: Date.now(), v: value };
        }
        Object.assign(this.fields, set);
        this.nonce = crypto.randomBytes(4).toString('hex');
        this.updates++;
        const update = { type: 'update', ...this.position(), from, set, del: [], changed_at: Date.now() };
        this.viewers.forEach((socket, index) => {
            const sent = this.updates === this.at ? this.distort(update, index) : update;
            if (sent) {
                socket.write(frame(sent));
            }
        });
    }

    answer(request, response) {
        const pieces = [];
        request.on('data', (piece) => pieces.push(piece));
        request.on('end', () => {
            const say = (body) => {
                const text = JSON.stringify(body);
                response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
                response.end(text);
            };
            if (request.method === 'GET') {
                say(this.snapshot());
            } else {
                const changes = [JSON.parse(Buffer.concat(pieces).toString())].flat();
                this.apply(changes);
                say({ accepted: changes.length, unchanged: 0, older: 0, refused: 0, durable: false });
            }
        });
    }
}
