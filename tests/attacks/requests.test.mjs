/*
 * Requests that are wrong on purpose: two servers might read them as two different things, they are too large, they reach
 * for files or put words into our mouth. Each gets one answer, the right one, and the connection ends when what follows
 * cannot be trusted.
 */
import assert from 'node:assert/strict';
import { sendRaw } from '../support/http_client.mjs';
import { refused, testAttacks } from './scene.mjs';
import { forSome, get, INGEST, ingestHead, Tally } from './wire.mjs';

const BEHIND = 'GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';
const LAST = 'Connection: close\r\n';
const SOME_MS = 300;
const AT_ONCE = 4;

/** [name, bytes, status, reason] -> an attack that sends them by turns. Anything but one answer is a smuggled request. */
function attackWith(cases, check = () => {}) {
    return {
        async run({ port }) {
            const tally = new Tally(...cases.map(([,, , reason]) => refused(reason)));
            let next = 0;
            const one = async () => {
                const [name, bytes, status, reason] = cases[next++ % cases.length];
                const answer = await sendRaw(port, Buffer.from(bytes, 'latin1'));
                assert.deepEqual([answer.status, answer.text.match(/HTTP\/1\.1 \d{3} /g)?.length, answer.closed], [status, 1, true],
                    `${name}: ${answer.text.slice(0, 300)}`);
                check(name, answer.text);
                tally.add(refused(reason));
            };
            for (let i = 0; i < cases.length; i++) {
                await one();
            }
            await forSome(SOME_MS, AT_ONCE, one);
            return tally.counts;
        },
    };
}

const BODY = '{"field":"test.count","value":1}';
const withLength = (value) => `${ingestHead(`Content-Length: ${value}\r\n`)}${BODY}`;
const withHeader = (line) => `GET / HTTP/1.1\r\nHost: localhost\r\n${line}\r\n\r\n${BEHIND}`;

const smuggling = [
    ['a length and chunks', `${ingestHead('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n')}0\r\n\r\n${BEHIND}`, 411, 'length_required'],
    ['chunks and a length', `${ingestHead('Transfer-Encoding: chunked\r\nContent-Length: 6\r\n')}0\r\n\r\n${BEHIND}`, 411, 'length_required'],
    ['two codings', `${ingestHead('Transfer-Encoding: gzip, chunked\r\n')}0\r\n\r\n${BEHIND}`, 411, 'length_required'],
    ['two codings in two lines', `${ingestHead('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n')}0\r\n\r\n${BEHIND}`, 411, 'length_required'],
    ['a coding with a tab', `${ingestHead('Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n')}0\r\n\r\n${BEHIND}`, 411, 'length_required'],
    ['a coding nobody knows', `${ingestHead('Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n')}0\r\n\r\n${BEHIND}`, 411, 'length_required'],
    ['chunks with a GET', withHeader('Transfer-Encoding: chunked'), 411, 'length_required'],
    ['no length', `${ingestHead('')}${BEHIND}`, 411, 'length_required'],
    ['a blank before the colon', withHeader('Transfer-Encoding : chunked'), 400, 'malformed'],
    ['a vertical tab before the coding', withHeader('Transfer-Encoding:\x0bchunked'), 400, 'malformed'],
    ['two lengths', `${ingestHead(`Content-Length: ${BODY.length}\r\nContent-Length: 4\r\n`)}${BODY}`, 400, 'malformed'],
    ['the same length twice', `${ingestHead(`Content-Length: ${BODY.length}\r\nContent-Length: ${BODY.length}\r\n`)}${BODY}`, 400, 'malformed'],
    ['a list of lengths', withLength(`${BODY.length}, ${BODY.length}`), 400, 'malformed'],
    ['a length with a sign', withLength(`+${BODY.length}`), 400, 'malformed'],
    ['a negative length', withLength('-1'), 400, 'malformed'],
    ['a hexadecimal length', withLength('0x20'), 400, 'malformed'],
    ['a length with an exponent', withLength('3e1'), 400, 'malformed'],
    ['a length in two words', withLength('3 2'), 400, 'malformed'],
    ['an empty length', withLength(''), 400, 'malformed'],
    ['a length beyond 2^64', withLength('18446744073709551648'), 400, 'malformed'],
    ['a folded header', withHeader('X-One: 1\r\n Transfer-Encoding: chunked'), 400, 'malformed'],
    ['a blank before the first header', `GET / HTTP/1.1\r\n Host: localhost\r\nHost: localhost\r\n\r\n${BEHIND}`, 400, 'malformed'],
    ['bare line feeds', `GET / HTTP/1.1\nHost: localhost\n\n${BEHIND}`, 400, 'malformed'],
    ['one bare line feed', withHeader('X-One: 1\nX-Two: 2'), 400, 'malformed'],
    ['a bare carriage return', withHeader('X-One: 1\rX-Two: 2'), 400, 'malformed'],
    ['a NUL in a header', withHeader('X-One: 1\0'), 400, 'malformed'],
    ['a header without a colon', withHeader('X-One'), 400, 'malformed'],
    ['a header without a name', withHeader(': 1'), 400, 'malformed'],
    ['a name that is no token', withHeader('X(One): 1'), 400, 'malformed'],
    ['two hosts', withHeader('Host: localhost'), 400, 'malformed'],
    ['no host', `GET / HTTP/1.1\r\n\r\n${BEHIND}`, 400, 'malformed'],
    ['a GET with a body', `${get('/health/live', `Content-Length: ${BEHIND.length}\r\n`)}${BEHIND}`, 413, 'too_big'],
    ['a handshake with a body', `${get('/ws', `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: kpi.v1\r\nContent-Length: ${BEHIND.length}\r\n`)}${BEHIND}`,
        400, 'handshake'],
    ['a request line in three blanks', `GET  /  HTTP/1.1\r\nHost: localhost\r\n\r\n${BEHIND}`, 400, 'malformed'],
    ['a request line with a tab', `GET\t/\tHTTP/1.1\r\nHost: localhost\r\n\r\n${BEHIND}`, 400, 'malformed'],
    ['HTTP/0.9', `GET /\r\n\r\n${BEHIND}`, 400, 'malformed'],
    ['HTTP in small letters', `GET / http/1.1\r\nHost: localhost\r\n\r\n${BEHIND}`, 400, 'malformed'],
    ['HTTP/1.2', `GET / HTTP/1.2\r\nHost: localhost\r\n\r\n${BEHIND}`, 505, 'malformed'],
    ['an address for a proxy', `GET ftp://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n${BEHIND}`, 400, 'malformed'],
    ['an expectation that nobody has', `${ingestHead('Content-Length: 5\r\nExpect: 200-ok\r\n')}${BEHIND}`, 417, 'expectation'],
];

const chunking = [
    ['chunks', '5\r\nhello\r\n0\r\n\r\n'], ['a chunk without an end', '5\r\nhello'], ['a size that is none', 'zz\r\n\r\n'],
    ['a negative size', '-5\r\nhello\r\n'], ['a size beyond 2^64', 'fffffffffffffffff\r\n'], ['an endless size', '0'.repeat(20000)],
    ['an endless extension', `1;${'a'.repeat(20000)}`], ['bare line feeds', '5\nhello\n0\n\n'],
    ['an endless trailer', `0\r\n${'X: y\r\n'.repeat(4000)}`], ['a size and a half', '1.5\r\nhe\r\n'],
].map(([name, chunks]) => [name, `${ingestHead('Transfer-Encoding: chunked\r\n')}${chunks}`, 411, 'length_required']);

const oversize = [
    ['a long address', get(`/${'a'.repeat(9000)}`), 414, 'too_big'],
    ['a longer one', get(`/${'a'.repeat(20000)}`), 431, 'too_big'],
    ['a request line without an end', 'G'.repeat(40000), 431, 'too_big'],
    ['a header without an end', `GET / HTTP/1.1\r\nHost: localhost\r\nX-One: ${'1'.repeat(70000)}`, 431, 'too_big'],
    ['a long header', get('/', `X-One: ${'1'.repeat(17000)}\r\n`), 431, 'too_big'],
    ['many headers', get('/', 'X: y\r\n'.repeat(64)), 431, 'too_big'],
    ['very many headers', get('/', 'X: y\r\n'.repeat(100000)), 431, 'too_big'],
    ['many parameters', get(`/?${'a=1&'.repeat(33)}`), 400, 'malformed'],
    ['a large body', `${ingestHead('Content-Length: 1048577\r\n')}${'x'.repeat(100000)}`, 413, 'too_big'],
    ['a body of a petabyte', ingestHead('Content-Length: 999999999999999\r\n'), 413, 'too_big'],
    ['a body to where none belongs', `POST /hooks/nobody HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(5000)}`, 404, 'not_found'],
];

const reaching = [
    ['/../../../../etc/passwd', 400], ['/../etc/passwd', 400], ['/assets/../../etc/passwd', 400], ['/%2e%2e/%2e%2e/etc/passwd', 400],
    ['/.%2e/etc/passwd', 400], ['/..%2f..%2fetc%2fpasswd', 400], ['/%2e%2e%2fetc/passwd', 400], ['/%252e%252e%252fetc/passwd', 404],
    ['/%252e%252e/etc/passwd', 404], ['/..%5c..%5cetc%5cpasswd', 404], ['/..\\..\\etc\\passwd', 404], ['/%c0%ae%c0%ae/etc/passwd', 404],
    ['/..%c0%afetc/passwd', 404], ['/..%00/etc/passwd', 400], ['/index.html%00.png', 400], ['/%00', 400], ['/index.html%0a', 400],
    ['/etc/passwd', 404], ['//etc/passwd', 404], ['/./index.html', 400], ['/%2e/index.html', 400], ['/..;/etc/passwd', 404],
    ['/.git/config', 404], ['/.env', 404], ['/proc/self/environ', 404], ['/index.html/', 404], ['/index.html/..', 400],
    ['http://localhost/../etc/passwd', 400], ['http://localhost', 400], ['file:///etc/passwd', 400], ['*', 400], ['etc/passwd', 400],
    ['/%', 400], ['/%2', 400], ['/%zz', 400], ['/?%', 400], ['/#', 400], ['/api/v1/dashboards/..%2f..%2fhealth', 400],
    ['/hooks/../metrics', 400],
].map(([target, status]) => [target, get(target, LAST), status, status === 400 ? 'malformed' : 'not_found']);

/** What was meant to become a header, or a second answer, of ours. */
const injecting = [
    ['a line end in the path', get('/%0d%0aInjected:%20yes', LAST), 400, 'malformed'],
    ['a line feed in the path', get('/%0aInjected:%20yes', LAST), 400, 'malformed'],
    ['a line end in a parameter', get('/api/v1/dashboards/alpha/events?position=%0d%0aInjected:%20yes', LAST), 400, 'malformed'],
    ['a line end in the name of one', get('/?%0d%0aInjected=yes', LAST), 400, 'malformed'],
    ['a board of such a name', get('/api/v1/dashboards/Injected', LAST), 404, 'route'],
    ['a line end in Origin', get('/', `Origin: https://a.example\rInjected: yes\r\n${LAST}`), 400, 'malformed'],
    ['a method of such a name', `INJECTED /health/live HTTP/1.1\r\nHost: localhost\r\n${LAST}\r\n`, 405, 'method'],
    ['a host of such a name', `GET / HTTP/1.1\r\nHost: injected.example\r\n${LAST}\r\n`, 421, 'host'],
    ['a subprotocol of such a name', get('/ws', 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: injected\r\n'),
        400, 'handshake'],
];

const handshake = (headers) => get('/ws', `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: kpi.v1\r\n${headers}`);

const foreign = [
    ...['https://evil.example', 'null', 'http://localhost.evil.example', 'http://localhost:1', 'file://', 'localhost', 'http://localhost@evil.example', '']
        .map((origin) => [`a page of "${origin}"`, handshake(`Origin: ${origin}\r\n`), 403, 'origin']),
    ['a page of two origins', handshake('Origin: http://localhost\r\nOrigin: https://evil.example\r\n'), 403, 'origin'],
    ...['evil.example', 'evil.example:80', 'localhost.evil.example', 'evil.example@localhost', '127.0.0.1.evil.example', 'a b']
        .map((host) => [`a host "${host}"`, `GET /health HTTP/1.1\r\nHost: ${host}\r\n${LAST}\r\n`, 421, 'host']),
];

const otherProtocols = [
    ['HTTP/2 that asks nobody', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0', 505, 'malformed'],
    ['another method', `BREW /pot HTTP/1.1\r\nHost: localhost\r\n${LAST}\r\n`, 404, 'not_found'],
    ['TRACE', `TRACE /health/live HTTP/1.1\r\nHost: localhost\r\n${LAST}\r\n`, 405, 'method'],
    ['CONNECT', `CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n${LAST}\r\n`, 400, 'malformed'],
    ['a method in small letters', `get /health/live HTTP/1.1\r\nHost: localhost\r\n${LAST}\r\n`, 405, 'method'],
    ['a GET where changes go in', get(INGEST, LAST), 405, 'method'],
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n\r\n', 400, 'malformed'],
    ['SMTP', 'EHLO localhost\r\n\r\n', 400, 'malformed'],
    ['a handshake of another version', handshake('').replace('Version: 13', 'Version: 8'), 426, 'handshake'],
    ['an upgrade to a WebSocket elsewhere', handshake('').replace('/ws', '/api/v1/dashboards'), 404, 'not_found'],
];

const nothingOfTheirs = (name, text) => assert.doesNotMatch(text, /injected/i, name);
const nothingOfTheMachine = (name, text) => assert.doesNotMatch(text, /root:|PATH=/, name);

testAttacks({
    'requests that two servers would read differently': attackWith(smuggling, (name, text) => assert.doesNotMatch(text, /smuggled/, name)),
    'bodies in chunks, good and bad': attackWith(chunking),
    'everything too large': attackWith(oversize),
    'reaching for files': attackWith(reaching, nothingOfTheMachine),
    'putting words into our mouth': attackWith(injecting, nothingOfTheirs),
    'pages and names of somebody else': attackWith(foreign),
    'other protocols and methods': attackWith(otherProtocols),

    'an upgrade to HTTP/2 is not taken': {
        async run({ port }) {
            const asked = get('/health/live', 'Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n');
            await forSome(SOME_MS, AT_ONCE, async () => {
                const answer = await sendRaw(port, asked);
                assert.equal(answer.status, 200, answer.text);
                assert.doesNotMatch(answer.text, /101|upgrade/i);
            });
            return {};
        },
    },
}, { areSideBySide: true });
