/*
 * A TCP proxy whose faults are switched while it runs. It sits between a gateway and a server: what a cut cable, a frozen
 * middle box, a forgotten NAT entry and a slow line do to a connection.
 *
 *   delay(ms)          every piece of data arrives that much later, in both directions
 *   trickle(rate)      so many bytes per second in each direction
 *   stall()            connections are accepted and hold everything back; heal() lets it through
 *   halfOpen()         existing connections lose everything, ends included, for good; new ones work ({fresh: true}: neither)
 *   reset()            existing connections end with RST; new ones work
 *   cut()              the same, and new ones are refused
 *   heal()             no fault any more (what lost data stays lost)
 */
import net from 'node:net';

const MAX_HELD_BYTES = 1 << 20;
const running = new Set();

/** Ends a connection with RST. One that is being closed already just ends: a reset on top of that makes Node spin at its exit. */
function breakOff(socket) {
    if (socket.writableEnded || socket.connecting) {
        socket.destroy();
    } else {
        socket.resetAndDestroy();
    }
}

/** One direction: what came, when it may go on. */
class Pipe {
    constructor(proxy, from, to, name) {
        Object.assign(this, { proxy, from, to, name, held: [], heldBytes: 0, freeAt: 0, isVoid: false });
        from.on('data', (bytes) => this.take(bytes));
        from.on('end', () => this.take(null));
    }

    take(bytes) {
        if (this.isVoid) {
            this.proxy.counts.droppedBytes += bytes?.length ?? 0;
            return;
        }
        this.held.push({ bytes, due: performance.now() + this.proxy.faults.delay });
        this.heldBytes += bytes?.length ?? 0;
        if (this.heldBytes > MAX_HELD_BYTES) {
            this.from.pause();
        }
        this.pump();
    }

    lose() {
        this.isVoid = true;
        this.held = [];
        this.heldBytes = 0;
        clearTimeout(this.timer);
        this.from.resume();
    }

    pump() {
        clearTimeout(this.timer);
        while (this.held.length > 0 && !this.proxy.faults.stall) {
            const wait = Math.max(this.held[0].due, this.freeAt) - performance.now();
            if (wait > 0) {
                this.timer = setTimeout(() => this.pump(), wait);
                return;
            }
            this.pass();
        }
        if (this.heldBytes <= MAX_HELD_BYTES && this.from.isPaused()) {
            this.from.resume();
        }
    }

    /** The oldest piece, or as much of it as the rate allows in a twentieth of a second. */
    pass() {
        const piece = this.held[0];
        if (piece.bytes === null) {
            this.held.shift();
            this.to.end();
            return;
        }
        const { rate } = this.proxy.faults;
        const part = rate === 0 ? piece.bytes : piece.bytes.subarray(0, Math.max(1, Math.floor(rate / 20)));
        this.freeAt = rate === 0 ? 0 : performance.now() + (part.length * 1000) / rate;
        if (part.length < piece.bytes.length) {
            piece.bytes = piece.bytes.subarray(part.length);
        } else {
            this.held.shift();
        }
        this.heldBytes -= part.length;
        this.proxy.counts[this.name] += part.length;
        this.to.write(part);
    }
}

export class Proxy {
    constructor(target) {
        this.target = target; // {port, host}, or a server with a port; new connections go there
        this.links = new Set();
        this.heal();
        this.counts = { bytesUp: 0, bytesDown: 0, droppedBytes: 0 };
        running.add(this);
    }

    get open() {
        return this.links.size;
    }

    listen(port = 0) {
        this.server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.accept(socket));
        return new Promise((resolve, reject) => {
            this.server.on('error', reject);
            this.server.listen(port, '127.0.0.1', () => {
                this.port = this.server.address().port;
                resolve(this);
            });
        });
    }

    accept(near) {
        const { port, host = '127.0.0.1' } = this.target;
        const far = net.connect({ port, host, allowHalfOpen: true, noDelay: true });
        const link = { near, far, pipes: [new Pipe(this, near, far, 'bytesUp'), new Pipe(this, far, near, 'bytesDown')] };
        this.links.add(link);
        if (this.faults.blackHole) {
            link.pipes.forEach((pipe) => pipe.lose());
        }
        for (const [socket, other] of [[near, far], [far, near]]) {
            socket.on('error', () => {});
            socket.on('close', () => this.closed(link, socket, other));
        }
    }

    closed(link, socket, other) {
        if (link.pipes[0].isVoid && !socket.isOurs) {
            return; // the other side hears nothing of it
        }
        if (link.far === socket && link.far.bytesRead === 0 && !other.destroyed) {
        }
        this.links.delete(link);
        link.pipes.forEach((pipe) => clearTimeout(pipe.timer));
        if (!other.destroyed) {
            if (socket.readableEnded) {
                other.destroySoon();
            } else {
                breakOff(other); // this end was reset, or never came to be
            }
        }
    }

    pumpAll() {
        this.links.forEach((link) => link.pipes.forEach((pipe) => pipe.pump()));
    }

    heal() {
        this.faults = { delay: 0, rate: 0, stall: false, blackHole: false };
        this.pumpAll();
        return this.port && !this.server.listening ? this.listen(this.port) : undefined;
    }

    delay(ms) {
        this.faults.delay = ms;
    }

    trickle(bytesPerSecond) {
        this.faults.rate = bytesPerSecond;
    }

    stall() {
        this.faults.stall = true;
    }

    halfOpen({ fresh = false } = {}) {
        this.faults.blackHole = fresh;
        this.links.forEach((link) => link.pipes.forEach((pipe) => pipe.lose()));
    }

    reset() {
        for (const link of this.links) {
            this.links.delete(link);
            [link.near, link.far].forEach((socket) => {
                socket.isOurs = true;
                breakOff(socket);
            });
            link.pipes.forEach((pipe) => clearTimeout(pipe.timer));
        }
    }

    cut() {
        this.server.close();
        this.reset();
    }

    async destroy() {
        running.delete(this);
        this.reset();
        await new Promise((resolve) => { this.server.close(resolve); });
    }
}

/** target: {port, host}, or a server of postgres.mjs or redis.mjs. */
export function startProxy(target) {
    return new Proxy(target).listen();
}

/** For `after`. */
export async function destroyProxies() {
    await Promise.all([...running].map((proxy) => proxy.destroy()));
}
