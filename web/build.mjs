/*
 * Puts the page together: web/dist/index.html, manifest, service worker, and web/dist/assets/<hash>/, ready to be
 * served from memory.
 *
 * Modules are copied without their comments; third-party ones get relative names instead of bare ones. Those that the
 * first view needs are laid one behind the other, a file per room: every name stays what it is, only the imports
 * between neighbours go. That costs 4 requests instead of 12, and compresses better. What is needed later stays alone.
 * <hash> is over everything below it, so assets may be cached for ever; the files beside it never.
 *
 *     npm ci && node build.mjs
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const from = (...names) => path.join(here, ...names);
const read = (...names) => readFile(from(...names), 'utf8');

/** Bare specifier -> file below the assets folder. htm rides with preact: one request less. */
const vendored = { preact: 'vendor/preact-htm.js', htm: 'vendor/preact-htm.js', uplot: 'vendor/uplot.js' };

const withoutSourceMap = (text) => text.replace(/^\/\/# sourceMappingURL=.*$/m, '').trimEnd();

async function vendorFiles() {
    const preact = withoutSourceMap(await read('node_modules/preact/dist/preact.mjs'));
    const htm = (await read('node_modules/htm/dist/htm.module.js')).trimEnd();
    if (htm.split('export default').length !== 2 || /\b(import|innerHTML)\b/.test(htm)) {
        throw new Error('htm has another shape than this build expects');
    }
    const uplot = withoutSourceMap(await read('node_modules/uplot/dist/uPlot.iife.min.js'));
    return {
        'vendor/preact-htm.js': `/*! preact (MIT), htm (Apache-2.0) */\n${preact}\nexport default (() => {${
            htm.replace('export default', ';return ')}})();\n`,
        'vendor/uplot.js': `${uplot}\nexport default uPlot;\n`,
    };
}

/**
 * Comments that have lines of their own, and indentation, stay in the repository: a third of the bytes. Lines are never
 * joined, and the templates do not care for the space at the start of a line.
 */
function withoutComments(text) {
    return text.replace(/^[ \t]*\/\*[\s\S]*?\*\/[ \t]*\n/gm, '').replace(/^[ \t]*\/\/.*\n/gm, '').replace(/^[ \t]+/gm, '').replace(/\n{2,}/g, '\n');
}

/** `from './x.js'`, `import('./x.js')`: the name is the third group. */
const importPattern = /(\bfrom\s*|\bimport\s*\(?\s*)(['"])([\w./-]+)\2/g;
const withNames = (text, rename) => text.replace(importPattern, (whole, before, quote, name) => `${before}${quote}${rename(name)}${quote}`);

/** Our own modules; what they import from each other is named from the root: '/client/format.js'. */
async function ownModules() {
    const files = {};
    for (const room of ['.', 'client', 'views']) {
        for (const name of (await readdir(from(room))).filter((file) => file.endsWith('.js') && file !== 'sw.js').sort()) {
            const file = path.posix.join(room, name);
            files[file] = withNames(await read(file), (target) =>
                (target.startsWith('.') ? `/${path.posix.join(path.posix.dirname(file), target)}` : target));
        }
    }
    return files;
}

// ---- the rooms of the first view, one file each ----

const statementPattern = /^import\b\s*([^;]*?)\s*from\s*'([^']+)';\n/gm;

/** What `entry` needs before it can start, each behind what it imports. */
function inOrder(files, entry, seen = new Set()) {
    if (seen.has(entry) || !Object.hasOwn(files, entry)) {
        return [];
    }
    seen.add(entry);
    const before = [...files[entry].matchAll(statementPattern)].flatMap(([, , name]) => inOrder(files, name.slice(1), seen));
    return [...before, entry];
}

function refuseSharedNames(room, text) {
    const names = [...text.matchAll(/^(?:export )?(?:async )?(?:const|let|function|class) (\w+)/gm)].map(([, name]) => name);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice) {
        throw new Error(`${room}: two of its modules call something ${twice}`);
    }
}

/** Modules behind each other, under one import of each other file. */
function joined(room, members, files) {
    const imports = new Map();
    const text = members.map((file) => files[file].replace(statementPattern, (whole, names, name) => {
        if (/ as |\*/.test(names)) {
            throw new Error(`${file}: "${names}" is imported in a way that this build does not join`);
        }
        if (!members.includes(name.slice(1))) {
            const isDefault = !names.startsWith('{');
            const key = `${isDefault ? 'default' : 'named'} ${name}`;
            const all = names.replace(/[{}]/g, '').split(',').map((each) => each.trim()).filter(Boolean);
            imports.set(key, { name, isDefault, names: new Set([...(imports.get(key)?.names ?? []), ...all]) });
        }
        return '';
    })).join('');
    refuseSharedNames(room, text);
    const lines = [...imports.values()].map(({ name, isDefault, names }) =>
        `import ${isDefault ? [...names][0] : `{ ${[...names].join(', ')} }`} from '${name}';\n`);
    return lines.join('') + text;
}

/** The files as they are served, and which of them a source went into. */
function joinRooms(files) {
    const servedAs = {};
    const rooms = new Map();
    for (const file of inOrder(files, 'main.js')) {
        const room = file.includes('/') ? `${path.posix.dirname(file)}.js` : 'main.js';
        rooms.set(room, [...(rooms.get(room) ?? []), file]);
        servedAs[file] = room;
    }
    const alone = Object.entries(files).filter(([file]) => !servedAs[file]);
    const made = Object.fromEntries([...rooms].map(([room, members]) => [room, joined(room, members, files)]));
    return { files: { ...made, ...Object.fromEntries(alone) }, servedAs };
}

function relativeName(file, target) {
    const relative = path.posix.relative(path.posix.dirname(file), target);
    return relative.startsWith('.') ? relative : `./${relative}`;
}

/** Names from the root, and of third parties, to what a browser can ask for. */
function withRelativeImports(file, text, servedAs) {
    return withNames(text, (name) => {
        if (!name.startsWith('/') && !Object.hasOwn(vendored, name)) {
            throw new Error(`${file}: imports ${name}, which is not vendored`);
        }
        const target = name.startsWith('/') ? name.slice(1) : vendored[name];
        return relativeName(file, servedAs[target] ?? target);
    });
}

/** The modules that main.js needs before it can start, found by following static imports. */
export function staticImports(files, entry) {
    const seen = new Set([entry]);
    for (const file of seen) {
        for (const [, name] of files[file].matchAll(/^(?:import|export)\b[^;]*?\bfrom\s*['"]([^'"]+)['"]/gm)) {
            seen.add(path.posix.join(path.posix.dirname(file), name));
        }
    }
    return [...seen];
}

async function assets() {
    const { files, servedAs } = joinRooms(await ownModules());
    for (const [file, text] of Object.entries(files)) {
        files[file] = withoutComments(withRelativeImports(file, text, servedAs));
    }
    Object.assign(files, await vendorFiles());
    files['style.css'] = `${withoutComments(await read('style.css'))}${await read('node_modules/uplot/dist/uPlot.min.css')}\n`;
    return files;
}

function hashOf(files) {
    const hash = createHash('sha256');
    for (const name of Object.keys(files).sort()) {
        hash.update(`${name}\0${files[name]}\0`);
    }
    return hash.digest('hex').slice(0, 16);
}

function pageOf(template, folder, preloaded) {
    const links = preloaded.filter((file) => file !== 'main.js')
        .map((file) => `<link rel="modulepreload" href="${folder}/${file}">`).join('\n');
    const page = template
        .replace('href="style.css"', `href="${folder}/style.css"`)
        .replace('<script type="module" src="main.js">', `${links}\n<script type="module" src="${folder}/main.js">`);
    if (!page.includes(`${folder}/style.css`) || !page.includes(`${folder}/main.js`)) {
        throw new Error('index.html does not name style.css and main.js as this build expects');
    }
    return page;
}

/** What lies beside the page under a name that never changes. The worker is told what this build consists of. */
async function shellFiles(folder, files) {
    const names = Object.keys(files).map((file) => `${folder}/${file}`);
    const worker = withoutComments(await read('sw.js'));
    if (worker.split('SHELL_FILES').length !== 2) {
        throw new Error('sw.js does not name SHELL_FILES once');
    }
    return {
        'sw.js': worker.replace('SHELL_FILES', JSON.stringify(names)),
        'manifest.webmanifest': await read('manifest.webmanifest'),
        'icon.svg': await read('icon.svg'),
    };
}

async function write(target, files) {
    for (const [file, text] of Object.entries(files)) {
        const name = path.join(target, file);
        await mkdir(path.dirname(name), { recursive: true });
        await writeFile(name, text);
    }
}

export async function build(target = from('dist')) {
    const files = await assets();
    const folder = `assets/${hashOf(files)}`;
    const page = pageOf(await read('index.html'), folder, staticImports(files, 'main.js'));
    const shell = await shellFiles(folder, files);
    await rm(target, { recursive: true, force: true });
    await write(path.join(target, folder), files);
    await write(target, { 'index.html': page, ...shell });
    return { target, folder, files, shell };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const { folder, files } = await build(process.argv[2] && path.resolve(process.argv[2]));
    console.log(`${Object.keys(files).length + 1} files in ${folder}`);
}
