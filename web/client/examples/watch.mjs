// node watch.mjs http://127.0.0.1:8080 executive
import { watch } from 'sophia-gateway-client';

const [url, ...boards] = process.argv.slice(2);

const gateway = watch({
    url,
    boards,
    client: 'watch-example',
    token: process.env.SOPHIA_TOKEN,
    WebSocketClass: globalThis.WebSocket ?? (await import('ws')).WebSocket, // Node 22 has one of its own
    onChange: ({ board, fields }) => {
        for (const field of fields) {
            const value = gateway.value(board, field);
            console.log(field, value ? JSON.stringify(value.v ?? null) : 'removed', value?.freshness ?? '');
        }
    },
    onLink: ({ name, text }) => console.error('link:', name, text ?? ''),
    onProblem: ({ board, message }) => console.error('problem:', board ?? '', message),
});

process.once('SIGINT', () => gateway.close());
