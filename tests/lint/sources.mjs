/*
 * What the lint tests look at: every C source of a tree, with the lines it includes.
 * A tree is a plain folder, so the rules can be tried on a small wrong one.
 */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const skipped = new Set(['node_modules', 'dist', 'corpus']);

/** Files below `folder`, as names relative to `tree`, that end in one of `endings`. */
export function filesOf(tree, folder, endings) {
    let entries;
    try {
        entries = readdirSync(path.join(tree, folder), { withFileTypes: true });
    } catch (error) {
        if (error.code === 'ENOENT') {
            return [];
        }
        throw error;
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((entry) => {
        const name = path.posix.join(folder, entry.name);
        if (entry.isDirectory()) {
            return skipped.has(entry.name) ? [] : filesOf(tree, name, endings);
        }
        return endings.some((ending) => name.endsWith(ending)) ? [name] : [];
    });
}

/** [{ file, text, includes: [{ line, name, isOwn }] }]; isOwn: written with quotes. */
export function sourcesOf(tree, folders) {
    return folders.flatMap((folder) => filesOf(tree, folder, ['.c', '.h'])).map((file) => {
        const text = readFileSync(path.join(tree, file), 'utf8');
        const includes = text.split('\n').flatMap((content, index) => {
            const match = content.match(/^\s*#\s*include\s+([<"])([^>"]+)[>"]/);
            return match ? [{ line: index + 1, name: match[2], isOwn: match[1] === '"' }] : [];
        });
        return { file, text, includes };
    });
}

/** The text with comments and literals blanked, line numbers kept. */
export function codeOf(text) {
    return text.replace(/\/\*[^]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'/g,
        (match) => match.replace(/[^\n]/g, ' '));
}
