/*
 * What the machine did while a test measured: a time that other processes or the hypervisor stretched says nothing about
 * the gateway. What counts as disturbed is what it is for loadtest/bench.mjs.
 */
import fs from 'node:fs';
import { DISTURBED_ABOVE, disturbance } from '../../loadtest/bench_numbers.mjs';

const TICK_MS = 10; // of /proc/stat: good for a second, not for less
const read = (file) => fs.readFileSync(file, 'utf8');

/** `look()`, or undefined: what it looks at has ended. */
function ifThere(look) {
    try {
        return look();
    } catch (error) {
        if (error.code === 'ENOENT' || error.code === 'ESRCH') {
            return undefined;
        }
        throw error;
    }
}

const tasksOf = (pid) => fs.readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}`);

const msOf = (task) => Number(read(`${task}/schedstat`).split(' ')[0]) / 1e6;

/** Milliseconds that process `pid` was on a processor so far: by the scheduler's account, which is finer than clock ticks. */
export const cpuMsOf = (pid) => tasksOf(pid).reduce((sum, task) => sum + msOf(task), 0);

/** The same of a process and all that it started. What has ended is missing, and what it used then counts as somebody else's. */
function cpuMsOfAll(pid) {
    const tasks = ifThere(() => tasksOf(pid)) ?? [];
    const children = tasks.flatMap((task) => (ifThere(() => read(`${task}/children`)) ?? '').split(' ').filter(Boolean));
    return [...tasks.map((task) => ifThere(() => msOf(task)) ?? 0), ...children.map(cpuMsOfAll)].reduce((sum, ms) => sum + ms, 0);
}

/** Milliseconds so far: of all processors together, of these not idle, taken by the hypervisor, and used by this test. */
function look() {
    const [user, nice, system, idle, waiting, irq, softirq, stolen] = read('/proc/stat').match(/^cpu +(.*)$/m)[1].split(' ').map((ticks) => ticks * TICK_MS);
    const busy = user + nice + system + irq + softirq;
    return { whole: busy + idle + waiting + stolen, busy, stolen, own: cpuMsOfAll(process.pid) };
}

/** Adds to the object that `measure` resolves with what others had of the machine meanwhile, as shares of it: {stolen, other_cpu}. */
export async function watched(measure) {
    const before = look();
    const got = await measure();
    const after = look();
    const passed = (name) => after[name] - before[name];
    const whole = Math.max(passed('whole'), TICK_MS);
    return { ...got, stolen: passed('stolen') / whole, other_cpu: Math.max(0, passed('busy') - passed('own')) / whole };
}

export const isQuiet = (run) => disturbance(run) <= DISTURBED_ABOVE;

/** How much others had during some runs, for people. */
export function disturbanceOf(runs) {
    const percent = runs.map((run) => Math.round(100 * disturbance(run))).sort((a, b) => a - b);
    return `others had ${percent[0]} to ${percent.at(-1)} % of the machine, ${percent[percent.length >> 1]} % most often`;
}
