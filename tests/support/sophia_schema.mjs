/* The project's own SQL in a private PostgreSQL. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../deploy/sql');

/** Runs deploy/sql/install.sql as an operator would. Throws what psql says. */
export function installSchema(postgres, { file = 'install.sql' } = {}) {
    const [psql, ...args] = postgres.psql();
    const child = spawn(psql, [...args, '-v', 'ON_ERROR_STOP=1', '-f', path.join(directory, file)], {
        stdio: ['ignore', 'pipe', 'pipe'], env: postgres.environment(),
    });
    let said = '';
    child.stdout.on('data', (text) => { said += text; });
    child.stderr.on('data', (text) => { said += text; });
    return new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code) => (code === 0 ? resolve(said) : reject(new Error(`${file}: ${said}`))));
    });
}

/** `field`, and members of the state table as SQL expressions. */
export const upsert = (field, members) => {
    const names = Object.keys(members);
    return `insert into sophia.kpi_state (field, ${names.join(', ')}) values ('${field}', ${Object.values(members).join(', ')}) `
        + `on conflict (field) do update set ${names.map((name) => `${name} = excluded.${name}`).join(', ')}`;
};
