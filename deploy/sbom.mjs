#!/usr/bin/env node
/*
 * What is in a gateway, as a CycloneDX 1.5 list on standard output: node deploy/sbom.mjs BINARY > sbom.json
 *
 * The libraries are those that the binary loads on this machine, by Debian package and version, so run it where it runs: in the image
 * that is shipped. The page's packages are those of web/package-lock.json that are not for tests only. The same input gives the
 * same list; SOURCE_DATE_EPOCH sets its time.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/* Loaded by libwebsockets when it starts, so no binary names it: the gateway runs on libuv. */
const loadedLater = ['libwebsockets-evlib-uv'];

const run = (program, ...words) => execFileSync(program, words, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/* ---- Debian ---- */

/** Name of a library -> the file it is found in, for all that the binary loads. */
function librariesOf(binary) {
    const lines = run('ldd', binary).split('\n');
    const missing = lines.find((line) => line.includes('not found'));
    if (missing) {
        throw new Error(`${binary} would not start here: ${missing.trim()}`);
    }
    return new Map(lines.flatMap((line) => {
        const [, name, file] = line.match(/^\s*(?:(\S+) => )?(\/\S+) \(0x/) ?? [];
        return file ? [[name ?? path.basename(file), file]] : [];
    }));
}

/** The libraries that a file asks for by itself. */
const neededBy = (file) => [...run('readelf', '-d', '--wide', file).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name);

/** File -> the package it belongs to, asked for under each path it may have been installed with: /lib and /usr/lib are one directory since. */
function packagesOf(files) {
    const namesOf = (file) => {
        const both = [file, fs.realpathSync(file)];
        return [...both, ...both.map((name) => name.replace(/^\/usr/, '')), ...both.map((name) => `/usr${name}`)];
    };
    const { stdout } = spawnSync('dpkg-query', ['-S', ...new Set(files.flatMap(namesOf))], { encoding: 'utf8' }); // fails: not all are there
    const owners = new Map(stdout.split('\n').filter(Boolean).map((line) => {
        const [owner, name] = line.split(': ');
        return [name, owner.split(',')[0]];
    }));
    return new Map(files.map((file) => {
        const name = namesOf(file).find((candidate) => owners.has(candidate));
        if (!name) {
            throw new Error(`${file} belongs to no package`);
        }
        return [file, owners.get(name)];
    }));
}

function release() {
    const fields = Object.fromEntries(fs.readFileSync('/etc/os-release', 'utf8').split('\n').filter(Boolean).map((line) => {
        const [name, ...value] = line.split('=');
        return [name, value.join('=').replaceAll('"', '')];
    }));
    return { id: fields.ID, distro: `${fields.ID}-${fields.VERSION_ID}` };
}

function debianComponent(name) {
    const format = '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Maintainer}\n';
    const [packageName, version, arch, source, sourceVersion, maintainer] = run('dpkg-query', '-W', '-f', format, name).trim().split('\t');
    const { id, distro } = release();
    const purl = `pkg:deb/${id}/${encodeURIComponent(packageName)}@${encodeURIComponent(version)}?arch=${arch}&distro=${distro}`;
    return {
        type: 'library', 'bom-ref': purl, name: packageName, version, purl, supplier: { name: maintainer.replace(/\s*<.*/, '') },
        properties: [{ name: 'debian:source', value: `${source} ${sourceVersion}` }],
    };
}

/** The packages of the libraries that a binary loads: components, and who asks for whom. */
function debianPart(binary) {
    const files = librariesOf(binary);
    const packages = packagesOf([...files.values()]);
    const components = new Map(); // by package
    const componentOf = (library) => {
        const name = packages.get(files.get(library));
        components.set(name, components.get(name) ?? debianComponent(name));
        return components.get(name)['bom-ref'];
    };
    const edges = new Map();
    for (const [library, file] of files) {
        const from = componentOf(library);
        const to = edges.get(from) ?? new Set();
        neededBy(file).map(componentOf).filter((ref) => ref !== from).forEach((ref) => to.add(ref));
        edges.set(from, to);
    }
    const direct = new Set(neededBy(binary).map(componentOf));
    for (const name of loadedLater) {
        const component = debianComponent(name);
        components.set(name, component);
        direct.add(component['bom-ref']);
    }
    return { components: [...components.values()], edges, direct: [...direct] };
}

/* ---- npm ---- */

function npmPart() {
    const { packages } = JSON.parse(fs.readFileSync(path.join(root, 'web/package-lock.json'), 'utf8'));
    const shipped = Object.entries(packages).filter(([place, { dev }]) => place !== '' && !dev);
    const components = shipped.map(([place, { version, license, integrity }]) => {
        const name = place.replace(/^.*node_modules\//, '');
        const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
        const [algorithm, digest] = integrity.split('-');
        return {
            type: 'library', 'bom-ref': purl, name, version, purl, licenses: [{ license: { id: license } }],
            hashes: [{ alg: algorithm.toUpperCase().replace('SHA', 'SHA-'), content: Buffer.from(digest, 'base64').toString('hex') }],
        };
    });
    return { components, direct: components.map((component) => component['bom-ref']) };
}

/* ---- the list ---- */

/** A name for this content: equal lists have equal ones. */
function serialOf(text) {
    const hex = sha256(text);
    return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function listOf(binary) {
    const version = run(binary, '--version').trim().split(' ')[1];
    const self = `pkg:generic/sophia-gateway@${version}`;
    const [debian, npm] = [debianPart(binary), npmPart()];
    const components = [...debian.components, ...npm.components].sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
    const dependencies = [
        { ref: self, dependsOn: [...debian.direct, ...npm.direct].sort() },
        ...components.map((component) => ({ ref: component['bom-ref'], dependsOn: [...(debian.edges.get(component['bom-ref']) ?? [])].sort() })),
    ];
    const epoch = process.env.SOURCE_DATE_EPOCH;
    return {
        $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
        bomFormat: 'CycloneDX',
        specVersion: '1.5',
        serialNumber: serialOf(JSON.stringify([self, components, dependencies])),
        version: 1,
        metadata: {
            timestamp: (epoch ? new Date(Number(epoch) * 1000) : new Date()).toISOString(),
            tools: { components: [{ type: 'application', name: 'sbom.mjs', version }] },
            component: {
                type: 'application', 'bom-ref': self, name: 'sophia-gateway', version, purl: self, licenses: [{ license: { id: 'Apache-2.0' } }],
                hashes: [{ alg: 'SHA-256', content: sha256(fs.readFileSync(binary)) }],
            },
        },
        components,
        dependencies,
    };
}

const [binary, ...rest] = process.argv.slice(2);
if (!binary || rest.length > 0) {
    process.stderr.write('usage: node deploy/sbom.mjs BINARY > sbom.json\n');
    process.exitCode = 2;
} else {
    process.stdout.write(`${JSON.stringify(listOf(path.resolve(binary)), null, 2)}\n`);
}
