/* The project's own SQL in a private PostgreSQL. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../deploy/sql');

/** Runs deploy/sql/install.sql as an operator would. Throws what psql says. */
export const installSchema = (postgres, { file = 'install.sql' } = {}) => postgres.sqlFile(path.join(directory, file));

/** Commits are no longer told of: what arrives, polls have found. Until the schema is installed again. */
export const silenceDoorbell = (postgres) => postgres.sql("create or replace function sophia.ring() returns void language sql as ''");

/** `field`, and members of the state table as SQL expressions. */
export const upsert = (field, members) => {
    const names = Object.keys(members);
    return `insert into sophia.kpi_state (field, ${names.join(', ')}) values ('${field}', ${Object.values(members).join(', ')}) `
        + `on conflict (field) do update set ${names.map((name) => `${name} = excluded.${name}`).join(', ')}`;
};
