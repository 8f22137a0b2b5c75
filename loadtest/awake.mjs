/*
 * Keeps the processors awake while something is measured. A virtual processor that sleeps has to be woken by its hypervisor, which
 * takes from tens of microseconds to milliseconds, and may find its place taken meanwhile: with one viewer the 99th percentile
 * was 10 ms of nothing else. So every processor gets a process that runs only when nothing else wants to (SCHED_IDLE).
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { familyOf } from '../tests/support/private_server.mjs';

const TICK_MS = 10;

/** Milliseconds of processor time that a process and its children have used, with those of the children that have ended. */
export function familyMs(pid) {
    const ticks = (id) => {
        const stat = fs.readFileSync(`/proc/${id}/stat`, 'utf8');
        return stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 15).reduce((sum, field) => sum + Number(field), 0); // fields 14 to 17
    };
    return TICK_MS * familyOf(pid).reduce((sum, id) => sum + ticks(id), 0);
}

/** stop() lets them sleep again; this process's end does too. What they use is nobody's loss: sophia-load and floor do not count it. */
export function keepAwake() {
    const idlers = os.cpus().map((cpu, i) => spawn('chrt', ['--idle', '0', 'taskset', '--cpu-list', String(i), 'sh', '-c',
        `while kill -0 ${process.pid} 2>&-; do i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done`], { stdio: 'ignore' }));
    for (const idler of idlers) {
        idler.on('error', () => {}); // then they sleep: the numbers say so
        idler.unref(); // nobody waits for them
    }
    return { stop: () => idlers.forEach((idler) => idler.kill('SIGKILL')) };
}
