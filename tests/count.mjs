/*
 * How many tests of a suite passed and failed, from what the suite left behind: prints "PASSED FAILED".
 * What failed goes to stderr. A suite that ran no test, or ended badly without naming a failed one, has one failure.
 *
 *     node tests/count.mjs tap LOG EXIT_STATUS     LOG is TAP of `node --test`
 *     node tests/count.mjs meson LOG EXIT_STATUS   cmocka programs; reads build-asan/meson-logs/testlog.json
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The numbers at the end of the TAP that node's test runner writes. */
export function countTap(text) {
    const number = (name) => Number(text.match(new RegExp(`^# ${name} (\\d+)$`, 'm'))?.[1] ?? 0);
    // A file without a test passes as one test named after itself.
    const empty = [...text.matchAll(/^ok \d+ - (\S+\.test\.mjs)$/gm)].map((match) => match[1]);
    return {
        passed: number('pass') - empty.length,
        failed: number('fail') + number('cancelled') + empty.length,
        skipped: number('skipped') + number('todo'),
        details: [
            ...text.match(/^( *)not ok [^]*?^\1 {2}\.\.\.$/gm) ?? [],
            ...empty.map((file) => `not ok - ${file} has no test`),
        ],
    };
}

/** Meson's testlog.json: one program per line; cmocka's own lines say which of its tests ran. */
export function countMeson(text) {
    const total = { passed: 0, failed: 0, skipped: 0, details: [] };
    for (const line of text.split('\n').filter(Boolean)) {
        const { name, result, stdout = '', stderr = '' } = JSON.parse(line);
        const output = `${stdout}\n${stderr}`;
        const passed = (output.match(/^\[ {7}OK \]/gm) ?? []).length;
        const failed = new Set(output.match(/^\[ {2}FAILED {2}\] \w+$/gm)).size; // cmocka names each twice
        const isBad = result !== 'OK' || passed === 0;
        total.passed += passed;
        total.failed += isBad ? Math.max(failed, 1) : failed;
        if (isBad || failed > 0) {
            total.details.push(`not ok - ${name}: ${result}\n${output.trim().slice(-6000)}`);
        }
    }
    return total;
}

function main([kind, log, status]) {
    const total = kind === 'meson'
        ? countMeson(readFileSync('build-asan/meson-logs/testlog.json', 'utf8'))
        : countTap(readFileSync(log, 'utf8'));
    if (total.failed === 0 && (Number(status) !== 0 || total.passed === 0)) {
        total.failed = 1;
        total.details.push(`not ok - exit status ${status} after ${total.passed} tests\n${readFileSync(log, 'utf8').slice(-4000)}`);
    }
    for (const text of total.details) {
        console.error(text);
    }
    if (total.skipped > 0) {
        console.error(`${total.skipped} skipped, see ${log}`);
    }
    console.log(`${Math.max(total.passed, 0)} ${total.failed}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    main(process.argv.slice(2));
}
