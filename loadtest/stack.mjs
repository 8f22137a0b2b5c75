/*
 * Everything at once, on this machine only: a private PostgreSQL and Redis, two gateways that share one order, nginx in
 * front of them, and business activity. `./dev stack` runs it; Ctrl-C ends it and leaves nothing behind. What ends on its
 * own (or because somebody tried what the last lines suggest) is started again.
 *
 *     node loadtest/stack.mjs [--port 8080] [--quiet]
 *
 * --port: of nginx; 0 takes a free one. --quiet: no activity, only what the sample holds.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { plainBinary, root } from '../tests/support/gateway.mjs';
import { request } from '../tests/support/http_client.mjs';
import { startPostgres } from '../tests/support/postgres.mjs';
import { PrivateServer, destroyServers, freePort } from '../tests/support/private_server.mjs';
import { startRedis } from '../tests/support/redis.mjs';
import { installSchema } from '../tests/support/sophia_schema.mjs';
import { sleep } from '../tests/support/waiting.mjs';

const RESTART_AFTER_MS = 5000;
const GATEWAYS = 2;
const { values: options } = parseArgs({ options: { port: { type: 'string', default: '8080' }, quiet: { type: 'boolean', default: false } } });
let isEnding = false;

const say = (text) => console.log(text);

/** A program of ours, in a directory of its own. */
class Program extends PrivateServer {
    constructor(name, command, isReady = () => true) {
        super(name);
        Object.assign(this, { command, isReady });
    }

    start() {
        return this.launch(this.command, this.isReady, { asSelf: true });
    }
}

/** Starts `server` again whenever it ended and nobody stopped it. */
async function supervise(server) {
    while (!isEnding) {
        const how = await server.child.exited;
        if (!isEnding) {
            say(`${server.name} ended (${how}); it comes back in ${RESTART_AFTER_MS / 1000} s`);
            await sleep(RESTART_AFTER_MS);
        }
        if (!isEnding) {
            await server.start().then(() => say(`${server.name} is back`), (error) => say(`${server.name}: ${error.message}`));
        }
    }
}

/** deploy/sql, then the sample: every file in the order of its name. */
async function fill(postgres) {
    await installSchema(postgres);
    const sample = path.join(root, 'deploy/sql/sample');
    for (const name of fs.readdirSync(sample).filter((name) => name.endsWith('.sql')).sort()) {
        await postgres.sqlFile(path.join(sample, name));
    }
}

const answers = (port) => async () => (await request(port, '/health/ready', { agent: false })).status === 200;

async function startOneGateway(number, { postgres, redis, publicPort }) {
    const port = await freePort();
    const name = `gateway-${number}`;
    const gateway = new Program(name, undefined, answers(port));
    const file = path.join(gateway.directory, 'gateway.yaml');
    fs.writeFileSync(file, `# ${name} of ./dev stack
listen:
  host: 127.0.0.1
  port: ${port}
  allowed_origins: ["http://127.0.0.1:${publicPort}", "http://localhost:${publicPort}"]
node:
  name: ${name}
journal:
  kind: redis
postgres:
  url: ${postgres.url}
redis:
  host: 127.0.0.1
  port: ${redis.port}
  channels:
    - channel: sophia.changes
drain:
  window_ms: 200
  grace_ms: 2000
`);
    gateway.port = port;
    gateway.command = [plainBinary, '--config', file];
    await gateway.start();
    return gateway;
}

/** A gateway that goes away answers nothing: nginx then asks the other, and forgets the failure after a second. */
const nginxConfig = (directory, port, gateways) => `
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr warn;
${process.getuid() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http {
    access_log off;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`).join('\n    ')}
    upstream gateways {
        least_conn;
        ${gateways.map((gateway) => `server 127.0.0.1:${gateway.port} max_fails=1 fail_timeout=1s;`).join('\n        ')}
    }
    map $http_upgrade $connection_header { default upgrade; '' ''; }
    server {
        listen 127.0.0.1:${port};
        location / {
            proxy_pass http://gateways;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_header;
            proxy_buffering off;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }
    }
}
`;

async function startNginx(port, gateways) {
    const nginx = new Program('nginx', undefined, answers(port));
    const file = path.join(nginx.directory, 'nginx.conf');
    fs.writeFileSync(file, nginxConfig(nginx.directory, port, gateways));
    nginx.command = ['nginx', '-e', 'stderr', '-p', nginx.directory, '-c', file];
    nginx.gentle = 'SIGQUIT';
    await nginx.start();
    return nginx;
}

async function startActivity({ postgres, redis }) {
    const activity = new Program('activity', [process.execPath, path.join(root, 'loadtest/activity.mjs'),
        '--pg-url', postgres.url, '--redis-port', String(redis.port)]);
    await activity.start();
    return activity;
}

function tell({ postgres, redis, gateways, publicPort }) {
    const psql = `psql -h ${postgres.socketDir} -p ${postgres.port} -U postgres`;
    say(`
open    http://127.0.0.1:${publicPort}/            through nginx
${gateways.map(({ name, port }) => `        http://127.0.0.1:${port}/           ${name} alone`).join('\n')}

try     a row changed by hand appears on the executive board at once:
          ${psql} -c "update executive_intelligence.kpi_rollups set revenue_mtd = revenue_mtd + 1000000, computed_at = now() where date_key = (select max(date_key) from executive_intelligence.kpi_rollups)"
        so does a message:
          redis-cli -p ${redis.port} publish sophia.changes '{"field":"exec.team_mood","value":7}'
        one gateway dies; its viewers go on at the other:
          kill -9 ${gateways[0].pid}
        PostgreSQL or Redis freezes, and thaws: values turn stale with the reason, then come back
          kill -STOP ${postgres.pid}; sleep 20; kill -CONT ${postgres.pid}
          kill -STOP ${redis.pid}; sleep 20; kill -CONT ${redis.pid}
        PostgreSQL or Redis ends; it comes back after ${RESTART_AFTER_MS / 1000} s
          kill -QUIT ${postgres.pid}
          redis-cli -p ${redis.port} shutdown nosave
        what the gateways say about it:
          curl -s http://127.0.0.1:${publicPort}/health?level=detailed

Ctrl-C ends everything.`);
}

async function main() {
    const publicPort = Number(options.port) || await freePort();
    say('starting PostgreSQL and Redis');
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis({ settings: { appendonly: 'yes' } })]);
    say('loading the sample');
    await fill(postgres);
    say('starting the gateways');
    const gateways = [];
    for (let number = 1; number <= GATEWAYS; number++) {
        gateways.push(await startOneGateway(number, { postgres, redis, publicPort }));
    }
    const nginx = await startNginx(publicPort, gateways);
    const others = options.quiet ? [nginx] : [nginx, await startActivity({ postgres, redis })];
    [postgres, redis, ...gateways, ...others].forEach(supervise);
    tell({ postgres, redis, gateways, publicPort });
}

async function end(code) {
    if (!isEnding) {
        isEnding = true;
        await destroyServers();
        process.exit(code);
    }
}

process.on('SIGINT', () => end(0));
process.on('SIGTERM', () => end(0));
/* The servers do not hold the process; this does. */
setInterval(() => {}, 1 << 30);
main().catch((error) => {
    console.error(error.message);
    return end(1);
});
