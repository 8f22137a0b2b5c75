/*
 * Where an issuer serves its keys, as a test wants: what it answers, when, over TLS or not, and what it was asked.
 */
import http from 'node:http';
import https from 'node:https';

export class KeyServer {
    /** tls: {key, cert}, PEM; without it plain HTTP. */
    static async open(tls) {
        const server = new KeyServer();
        const listener = (request, response) => server.#answer(request, response);
        server.server = tls ? https.createServer(tls, listener) : http.createServer(listener);
        await new Promise((resolve) => { server.server.listen(0, '127.0.0.1', resolve); });
        server.port = server.server.address().port;
        server.url = `${tls ? 'https' : 'http'}://localhost:${server.port}/keys.json`;
        return server;
    }

    constructor() {
        this.requests = []; // headers of each
        this.waiting = [];  // answers held back
        this.holds = false;
        this.body = '{"keys": []}';
        this.status = 200;
        this.headers = {};
    }

    /** The keys of an Issuer; which: their names, all by default. */
    serve(issuer, which) {
        issuer.write(which);
        this.body = issuer.text;
        this.status = 200;
        return this;
    }

    #answer(request, response) {
        this.requests.push(request.headers);
        const say = () => {
            const isKnown = this.headers.ETag && request.headers['if-none-match'] === this.headers.ETag;
            response.writeHead(isKnown ? 304 : this.status, { 'content-type': 'application/json', ...this.headers });
            response.end(isKnown ? undefined : this.body);
        };
        if (this.holds) {
            this.waiting.push(say);
        } else {
            say();
        }
    }

    /** Answer what was held back, and hold nothing back any more. */
    release() {
        this.holds = false;
        this.waiting.splice(0).forEach((say) => say());
    }

    /** Nobody listens there any more; open connections are cut. */
    async close() {
        this.server.closeAllConnections();
        await new Promise((resolve) => { this.server.close(resolve); });
    }

    /** On the same port again. */
    async reopen() {
        await new Promise((resolve) => { this.server.listen(this.port, '127.0.0.1', resolve); });
    }
}
