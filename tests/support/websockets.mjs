/*
 * Two WebSocket clients with one surface: `text(message)` is sent, onText(text) and onClose(code, reason) tell what comes.
 * RawWebSocket is cheap enough for thousands of viewers, insists on what RFC 6455 asks of a server (unmasked, unbroken,
 * known opcodes; compressed ones only where that was negotiated), and can send what no library would; LibraryWebSocket is the `ws` package, an independent judge.
 */
import crypto from 'node:crypto';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { caOf, connectTo, isSecure } from './tls.mjs';

const acceptOf = (key) => crypto.createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const decoder = new TextDecoder('utf-8', { fatal: true });
const TEXT = 1, CLOSE = 8, PING = 9, PONG = 10;

/** The bytes of one client frame. */
export function frameOf(payload, { opcode = TEXT, fin = true, masked = true, rsv = 0 } = {}) {
    const bytes = Buffer.from(payload);
    const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
    const mask = masked ? 0x80 : 0;
    if (bytes.length < 126) {
        head.push(mask | bytes.length);
    } else if (bytes.length < 65536) {
        head.push(mask | 126, bytes.length >> 8, bytes.length & 255);
    } else {
        const length = Buffer.alloc(8);
        length.writeBigUInt64BE(BigInt(bytes.length));
        head.push(mask | 127, ...length);
    }
    if (!masked) {
        return Buffer.concat([Buffer.from(head), bytes]);
    }
    const key = crypto.randomBytes(4);
    const body = Buffer.allocUnsafe(bytes.length);
    for (let i = 0; i < bytes.length; i++) {
        body[i] = bytes[i] ^ key[i & 3];
    }
    return Buffer.concat([Buffer.from(head), key, body]);
}

const flush = { finishFlush: constants.Z_SYNC_FLUSH };
const trailer = Buffer.from([0, 0, 255, 255]);

/** The payload of a compressed frame (RFC 7692, 7.2.1). */
export const deflated = (text, options) => deflateRawSync(text, { ...flush, ...options }).subarray(0, -trailer.length);
/** Refers to nothing before it, nor further back than 2^12 bytes; or this throws. */
export const inflated = (payload) => inflateRawSync(Buffer.concat([payload, trailer]), { ...flush, windowBits: 12 });

export function handshakeOf(key, { path: target = '/ws', host = '127.0.0.1', protocol = 'kpi.v1', headers = {} } = {}) {
    const all = {
        Host: host, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Protocol': protocol, ...headers,
    };
    const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
    return `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

export class RawWebSocket {
    /** Resolves once the gateway has accepted the handshake. */
    static open(port, options = {}) {
        return new Promise((resolve, reject) => {
            const socket = new RawWebSocket(port, options);
            socket.onOpen = () => resolve(socket);
            socket.onFail = reject;
        });
    }

    constructor(port, options) {
        this.onText = () => {};
        this.onClose = () => {};
        this.onFail = () => {};
        this.onOpen = () => {};
        this.isOpen = false;
        this.isClosed = false;
        this.code = 1006;
        this.reason = '';
        this.pings = 0;
        this.pongs = []; // their payloads
        this.extensions = null; // as negotiated
        this.deflated = 0;      // compressed frames that came
        this.received = 0;      // bytes
        this.answersPings = options.answersPings ?? true;
        this.pending = null; // bytes of an unfinished frame or answer
        this.key = crypto.randomBytes(16).toString('base64');
        this.socket = connectTo(port, { noDelay: true });
        this.socket.on('usable', () => this.socket.write(handshakeOf(this.key, options)));
        this.socket.on('data', (bytes) => this.receive(bytes));
        this.socket.on('error', (error) => { this.error = error; });
        this.socket.on('close', () => this.finish());
    }

    receive(bytes) {
        this.received += bytes.length;
        let rest = this.pending ? Buffer.concat([this.pending, bytes]) : bytes;
        if (!this.isOpen) {
            rest = this.takeHandshake(rest);
        }
        while (rest && rest.length >= 2) {
            const used = this.takeFrame(rest);
            if (used === 0) {
                break;
            }
            rest = rest.subarray(used);
        }
        this.pending = rest && rest.length > 0 ? rest : null;
    }

    takeHandshake(bytes) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) {
            return bytes;
        }
        const head = bytes.subarray(0, end).toString('latin1');
        if (!head.startsWith('HTTP/1.1 101 ')) {
            this.answer = bytes.toString('latin1');
            this.fail(new Error(`handshake refused: ${head.split('\r\n')[0]}`));
            return null;
        }
        const accept = head.match(/^sec-websocket-accept: *(.*)$/im)?.[1].trim();
        if (accept !== acceptOf(this.key) || !/^sec-websocket-protocol: *kpi\.v1$/im.test(head)) {
            this.fail(new Error(`not an answer to this handshake:\n${head}`));
            return null;
        }
        this.extensions = head.match(/^sec-websocket-extensions: *(.*)$/im)?.[1].trim() ?? null;
        this.isOpen = true;
        this.onOpen();
        return bytes.subarray(end + 4);
    }

    /** Bytes used; 0 when the frame is not whole yet. */
    takeFrame(bytes) {
        const opcode = bytes[0] & 15;
        let length = bytes[1] & 127;
        let at = 2;
        const isDeflated = bytes[0] === 0xc1 && this.extensions !== null;
        if (((bytes[0] & 0xf0) !== 0x80 && !isDeflated) || bytes[1] & 0x80 || ![TEXT, CLOSE, PING, PONG].includes(opcode)) {
            this.fail(new Error(`corrupt frame: ${bytes.subarray(0, 16).toString('hex')}`));
            return bytes.length;
        }
        if (length === 126) {
            if (bytes.length < 4) {
                return 0;
            }
            length = bytes.readUInt16BE(2);
            at = 4;
        } else if (length === 127) {
            if (bytes.length < 10) {
                return 0;
            }
            length = Number(bytes.readBigUInt64BE(2));
            at = 10;
        }
        if (bytes.length < at + length) {
            return 0;
        }
        const payload = bytes.subarray(at, at + length);
        this.deflated += isDeflated ? 1 : 0;
        this.take(opcode, isDeflated ? inflated(payload) : payload);
        return at + length;
    }

    take(opcode, payload) {
        if (opcode === TEXT) {
            this.onText(decoder.decode(payload));
        } else if (opcode === PING) {
            this.pings++;
            if (this.answersPings) {
                this.frame(payload, { opcode: PONG });
            }
        } else if (opcode === PONG) {
            this.pongs.push(payload.toString('utf8'));
        } else if (opcode === CLOSE) {
            this.code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
            this.reason = payload.subarray(2).toString('utf8');
            this.frame(payload, { opcode: CLOSE });
            this.socket.end();
        }
    }

    fail(error) {
        this.error = error;
        this.socket.destroy();
        this.onFail(error);
    }

    finish() {
        if (this.isClosed) {
            return;
        }
        this.isClosed = true;
        this.onFail(this.error ?? new Error('closed before the handshake was answered'));
        this.onClose(this.code, this.reason);
    }

    frame(payload, options) {
        this.bytes(frameOf(payload, options));
    }

    bytes(bytes) {
        if (!this.socket.destroyed && this.socket.writable) {
            this.socket.write(bytes);
        }
    }

    text(message) {
        this.frame(message);
    }

    /** Stop reading: the kernel's buffers fill, then the gateway's. */
    pause() {
        this.socket.pause();
    }

    resume() {
        this.socket.resume();
    }

    close(code = 1000) {
        this.frame(Buffer.from([code >> 8, code & 255]), { opcode: CLOSE });
    }

    destroy() {
        this.socket.destroy();
    }
}

const webPackage = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../web/package.json');
let library;

/** Where the `ws` package finds the gateway at `port`, and the options it needs for that: [url, options]. */
export const addressFor = (port, target = '/ws') =>
    (isSecure(port) ? [`wss://127.0.0.1:${port}${target}`, { ca: caOf() }] : [`ws://127.0.0.1:${port}${target}`, {}]);

export class LibraryWebSocket {
    static open(port, { path: target = '/ws', protocol = 'kpi.v1', headers = {} } = {}) {
        library ??= createRequire(webPackage)('ws');
        return new Promise((resolve, reject) => {
            const socket = new LibraryWebSocket();
            const [url, options] = addressFor(port, target);
            socket.ws = new library.WebSocket(url, protocol, { headers, ...options });
            socket.ws.on('open', () => { socket.isOpen = true; resolve(socket); });
            socket.ws.on('error', (error) => { socket.error = error; reject(error); });
            socket.ws.on('message', (data, isBinary) => {
                if (isBinary) {
                    socket.error = new Error('binary message');
                }
                socket.onText(data.toString('utf8'));
            });
            socket.ws.on('close', (code, reason) => {
                socket.isClosed = true;
                socket.code = code;
                socket.onClose(code, reason.toString('utf8'));
            });
        });
    }

    constructor() {
        this.onText = () => {};
        this.onClose = () => {};
        this.isOpen = false;
        this.isClosed = false;
        this.code = 1006;
    }

    text(message) {
        this.ws.send(message);
    }

    pause() {
        this.ws.pause();
    }

    resume() {
        this.ws.resume();
    }

    close(code = 1000) {
        this.ws.close(code);
    }

    destroy() {
        this.ws.terminate();
    }
}
