/* The include arrows and the homes of third-party headers; first on small trees with known mistakes, then on this one. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { arrows, wrongArrows } from './arrows.mjs';
import { root, sourcesOf } from './sources.mjs';

/** What the linter says about a tree made of these files. */
function findings(files) {
    const tree = mkdtempSync(path.join(tmpdir(), 'sophia-lint-'));
    try {
        for (const [name, text] of Object.entries(files)) {
            mkdirSync(path.dirname(path.join(tree, name)), { recursive: true });
            writeFileSync(path.join(tree, name), text);
        }
        return wrongArrows(tree);
    } finally {
        rmSync(tree, { recursive: true });
    }
}

const headers = Object.fromEntries([
    'protocol/result.h', 'gateway/base/log.h', 'gateway/catalog/catalog.h', 'gateway/state/board.h', 'gateway/fanout/hub.h',
    'gateway/io/loop.h', 'gateway/io/redis_link.h', 'gateway/journal/journal.h', 'gateway/cache/cache.h', 'gateway/access/access.h',
    'gateway/pipeline.h', 'gateway/config/config.h', 'gateway/sources/source.h', 'gateway/sources/redis_source.h',
    'gateway/transports/ws_transport.h',
].map((name) => [name, '']));

const including = (file, include) => findings({ ...headers, [file]: `\n#include ${include}\n` });

const wrong = [
    ['protocol/change.c', '"base/log.h"', 'protocol may not include base'],
    ['gateway/base/log.c', '"io/loop.h"', 'base may not include io'],
    ['gateway/state/board.c', '"fanout/hub.h"', 'state may not include fanout'],
    ['gateway/state/board.h', '"io/loop.h"', 'state may not include io'],
    ['gateway/io/listener.c', '"catalog/catalog.h"', 'io may not include catalog'],
    ['gateway/journal/memory_journal.c', '"state/board.h"', 'journal may not include state'],
    ['gateway/access/access.c', '"journal/journal.h"', 'access may not include journal'],
    ['gateway/fanout/hub.c', '"pipeline.h"', 'fanout may not include pipeline'],
    ['gateway/pipeline.c', '"sources/source.h"', 'pipeline may not include sources'],
    ['gateway/pipeline.c', '"config/config.h"', 'pipeline may not include config'],
    ['gateway/sources/http_ingest.c', '"transports/ws_transport.h"', 'sources may not include transports'],
    ['gateway/transports/sse_transport.c', '"sources/source.h"', 'transports may not include sources'],
    ['gateway/sources/http_ingest.c', '"sources/redis_source.h"', 'two sources never include each other'],
    ['gateway/base/map.c', '"log.h"', 'not a header of this tree'],
    ['gateway/base/map.c', '"../io/loop.h"', 'not a header of this tree'],
    ['gateway/base/map.c', '"base/gone.h"', 'not a header of this tree'],
    ['gateway/state/board.c', '<jansson.h>', 'whose place is protocol, catalog, views, access, sources'],
    ['gateway/transports/ws_transport.c', '<libwebsockets.h>', 'whose place is io'],
    ['gateway/base/clock.c', '<uv.h>', 'whose place is io'],
    ['gateway/io/loop.c', '<hiredis/hiredis.h>', 'whose place is gateway/io/redis_link'],
    ['gateway/sources/postgres_source.c', '<libpq-fe.h>', 'whose place is gateway/io/pg_link'],
    ['gateway/fanout/frame.c', '<openssl/sha.h>', 'whose place is access'],
    ['gateway/main.c', '<yaml.h>', 'whose place is config'],
    ['gateway/fanout/encoder.c', '<zlib.h>', 'whose place is gateway/transports/static_files'],
];

for (const [file, include, expected] of wrong) {
    test(`${file} including ${include} is caught`, () => {
        const found = including(file, include);
        assert.equal(found.length, 1, found.join('\n'));
        assert.ok(found[0].startsWith(`${file}:2: `) && found[0].includes(expected), found[0]);
    });
}

const right = [
    ['gateway/fanout/hub.c', '"state/board.h"'],
    ['gateway/pipeline.c', '"journal/journal.h"'],
    ['gateway/cache/l2.c', '"io/redis_link.h"'],
    ['gateway/transports/cache_endpoint.c', '"cache/cache.h"'],
    ['gateway/sources/redis_link.c', '"sources/redis_source.h"'],
    ['gateway/sources/http_ingest.c', '"sources/source.h"'],
    ['gateway/transports/ws_transport.c', '"pipeline.h"'],
    ['gateway/main.c', '"transports/ws_transport.h"'],
    ['gateway/config/yaml_walk.c', '<yaml.h>'],
    ['gateway/access/access.c', '<openssl/sha.h>'],
    ['gateway/io/redis_link.c', '<hiredis/hiredis.h>'],
];

for (const [file, include] of right) {
    test(`${file} may include ${include}`, () => {
        assert.deepEqual(including(file, include), []);
    });
}

test('no include of this tree points the wrong way', () => {
    const found = wrongArrows(root);
    assert.equal(found.length, 0, found.join('\n'));
});

test('the rooms that the rules name exist and hold sources', () => {
    const files = sourcesOf(root, ['protocol', 'gateway']).map(({ file }) => file.replace(/^gateway\//, ''));
    for (const room of Object.keys(arrows).filter((name) => name !== 'main')) {
        assert.ok(files.some((file) => file.startsWith(`${room}/`) || file === `${room}.c`), `no source in ${room}`);
    }
});
