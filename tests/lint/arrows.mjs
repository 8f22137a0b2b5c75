/*
 * Who may include whom, and where third-party headers live. The same picture as in docs/design.md:
 *
 *     protocol <- base <- catalog <- views <- state <- fanout <- pipeline <- sources, transports <- main
 *                 base <- io <- journal, cache, access          <- pipeline, sources, transports <- main
 *                       catalog, cache, access, sources         <- config <- main
 */
import path from 'node:path';
import { sourcesOf } from './sources.mjs';

const domain = ['protocol', 'base', 'catalog', 'views', 'state', 'fanout'];
const services = ['protocol', 'base', 'io'];
const edge = [...domain, 'io', 'journal', 'cache', 'access', 'pipeline'];

/** Room -> rooms it may include besides itself. */
export const arrows = {
    protocol: [],
    base: domain.slice(0, 1),
    catalog: domain.slice(0, 2),
    views: domain.slice(0, 3),
    state: domain.slice(0, 4),
    fanout: domain.slice(0, 5),
    io: services.slice(0, 2),
    journal: services,
    cache: services,
    access: services,
    pipeline: [...domain, 'io', 'journal', 'cache', 'access'],
    sources: edge,
    transports: edge,
    config: [...services, 'catalog', 'cache', 'access', 'sources'],
    main: [...edge, 'sources', 'transports', 'config'],
};

/** Files right below gateway/: the doors and what stands beside them are `pipeline`, the rest is `main`. */
const pipelineFiles = new Set(['pipeline.h', 'pipeline.c', 'pipeline_definitions.c', 'pipeline_internal.h', 'pipeline_submission.c', 'pipeline_viewers.c', 'health.h', 'health.c', 'pipeline_restart.c', 'upstreams.c', 'upstreams.h', 'history_reader.c', 'history_reader.h']);

/** A header that names a library -> the only places that may include it: a room, or one file. */
export const homes = [
    { pattern: /^jansson\.h$/, places: ['protocol', 'catalog', 'views', 'access', 'sources'] },
    { pattern: /^(libwebsockets\.h|libwebsockets\/)/, places: ['io'] },
    { pattern: /^(uv\.h|uv\/)/, places: ['io'] },
    { pattern: /^liburing/, places: ['io'] },
    { pattern: /^curl\//, places: ['gateway/io/http_fetch'] },
    { pattern: /^hiredis\//, places: ['gateway/io/redis_link'] },
    { pattern: /^(libpq-fe\.h|libpq\/|postgresql\/)/, places: ['gateway/io/pg_link'] },
    { pattern: /^openssl\//, places: ['access', 'gateway/io/tls'] },
    { pattern: /^yaml\.h$/, places: ['config'] },
    { pattern: /^seccomp\.h$/, places: ['gateway/confinement'] },
    { pattern: /^zlib\.h$/, places: ['gateway/transports/static_files', 'gateway/fanout/deflate', 'gateway/io/inflate'] },
];

/** The room of a file ("gateway/io/loop.c") or of an included name ("io/loop.h"); undefined when it has none. */
export function roomOf(name) {
    const parts = name.replace(/^gateway\//, '').split('/');
    if (parts.length === 1) {
        return pipelineFiles.has(parts[0]) ? 'pipeline' : 'main';
    }
    return Object.hasOwn(arrows, parts[0]) && !['pipeline', 'main'].includes(parts[0]) ? parts[0] : undefined;
}

/** "gateway/sources/demo_data.c" and "demo_source.h" belong to one source: the first word of the name tells. */
const family = (name) => path.posix.basename(name).replace(/\.[ch]$/, '').split('_')[0];

/** What all sources share; nobody's own. */
const sharedBySources = new Set(['sources/source.h', 'sources/batch.h']);

function ownProblem(file, name, sources) {
    const from = roomOf(file);
    const to = roomOf(name);
    if (to === undefined || (!sources.has(`gateway/${name}`) && !sources.has(name))) {
        return `includes "${name}", which is not a header of this tree named from its root`;
    }
    if (from !== to && !arrows[from].includes(to)) {
        return `includes "${name}": ${from} may not include ${to}`;
    }
    if (from === 'sources' && to === 'sources' && !sharedBySources.has(name) && family(file) !== family(name)
        && !sharedBySources.has(file.replace(/^gateway\//, '').replace(/\.c$/, '.h'))) {
        return `includes "${name}": two sources never include each other`;
    }
    return undefined;
}

function homeProblem(file, name) {
    const home = homes.find(({ pattern }) => pattern.test(name));
    if (!home || home.places.some((place) => roomOf(file) === place || file.replace(/\.[ch]$/, '').startsWith(place))) {
        return undefined;
    }
    return `includes <${name}>, whose place is ${home.places.join(', ')}`;
}

/** Every include of protocol/ and gateway/ that points the wrong way: ["file:line: what is wrong"]. */
export function wrongArrows(tree) {
    const all = sourcesOf(tree, ['protocol', 'gateway']);
    const known = new Set(all.map(({ file }) => file));
    return all.flatMap(({ file, includes }) => includes.flatMap(({ line, name, isOwn }) => {
        const problem = isOwn ? ownProblem(file, name, known) : homeProblem(file, name);
        return problem ? [`${file}:${line}: ${problem}`] : [];
    }));
}
