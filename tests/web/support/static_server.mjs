/* A web server of somebody else: the files of some folders, and nothing more. */
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';

const mediaTypes = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.json': 'application/json' };

/** folders: {'/prefix/': folder}, the longest prefix first. Answers {url, stop}. */
export async function serveFolders(folders) {
    const server = http.createServer(async (request, response) => {
        const { pathname } = new URL(request.url, 'http://localhost');
        const prefix = Object.keys(folders).find((each) => pathname.startsWith(each));
        const file = prefix && path.join(folders[prefix], path.posix.normalize(`/${pathname.slice(prefix.length)}`));
        const body = file ? await readFile(file).catch(() => null) : null;
        response.writeHead(body ? 200 : 404, { 'content-type': mediaTypes[path.extname(file ?? '')] ?? 'text/plain' });
        response.end(body ?? 'There is no such file.');
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        stop: () => new Promise((resolve) => {
            server.closeAllConnections();
            server.close(resolve);
        }),
    };
}
