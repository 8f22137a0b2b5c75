/*
 * Puts the page together: web/dist/index.html and web/dist/assets/<hash>/, ready to be served from memory.
 *
 * Nothing is bundled or renamed. Modules are copied without their comments; third-party ones get relative names
 * instead of bare ones.
 * <hash> is over everything below it, so assets may be cached for ever and index.html never.
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

async function ownModules() {
    const files = { 'main.js': withoutComments(await read('main.js')) };
    for (const room of ['client', 'views']) {
        for (const name of (await readdir(from(room))).filter((file) => file.endsWith('.js')).sort()) {
            files[`${room}/${name}`] = withoutComments(await read(room, name));
        }
    }
    return files;
}

const importPattern = /(\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"]+)\2/g;

function withRelativeImports(file, text) {
    return text.replace(importPattern, (whole, before, quote, name) => {
        if (name.startsWith('.')) {
            return whole;
        }
        if (!Object.hasOwn(vendored, name)) {
            throw new Error(`${file}: imports ${name}, which is not vendored`);
        }
        const relative = path.posix.relative(path.posix.dirname(file), vendored[name]);
        return `${before}${quote}${relative.startsWith('.') ? relative : `./${relative}`}${quote}`;
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
    const files = { ...await ownModules() };
    for (const [file, text] of Object.entries(files)) {
        files[file] = withRelativeImports(file, text);
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
    await rm(target, { recursive: true, force: true });
    await write(path.join(target, folder), files);
    await write(target, { 'index.html': page });
    return { target, folder, files };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const { folder, files } = await build(process.argv[2] && path.resolve(process.argv[2]));
    console.log(`${Object.keys(files).length + 1} files in ${folder}`);
}
