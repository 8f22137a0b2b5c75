/* The vectors that concern a viewer, as client_vectors.mjs wants them. */
import { readFile, readdir } from 'node:fs/promises';

const folder = new URL('../../../protocol/vectors/', import.meta.url);
const read = async (name) => JSON.parse(await readFile(new URL(name, folder), 'utf8'));

export async function readVectors() {
    const files = (await readdir(new URL('gateway/', folder))).filter((name) => name.endsWith('.json'));
    const [overlays, positions, freshness] = await Promise.all(['overlays.json', 'positions.json', 'freshness.json'].map(read));
    return {
        gateway: await Promise.all(files.map((file) => read(`gateway/${file}`))),
        overlays: overlays.cases, positions: positions.cases, freshness: freshness.cases,
    };
}
