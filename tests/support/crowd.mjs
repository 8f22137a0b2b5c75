/*
 * Many viewers in a process of their own, so that their work does not delay what the test measures. call(name, options)
 * runs one of the functions of crowd_process.mjs, or of another such program, there.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const running = new Set();
process.on('exit', () => running.forEach((crowd) => crowd.child.kill('SIGKILL')));

export class Crowd {
    constructor(program = new URL('./crowd_process.mjs', import.meta.url)) {
        this.child = fork(fileURLToPath(program), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
        this.waiting = new Map();
        this.last = 0;
        running.add(this);
        this.child.on('message', ({ id, answer, error }) => {
            const { resolve, reject } = this.waiting.get(id);
            this.waiting.delete(id);
            return error ? reject(new Error(`crowd: ${error}`)) : resolve(answer);
        });
        this.child.on('exit', (code, signal) => {
            running.delete(this);
            this.waiting.forEach(({ reject }) => reject(new Error(`the crowd ended: ${code} ${signal}`)));
        });
    }

    call(name, options = {}) {
        const id = ++this.last;
        return new Promise((resolve, reject) => {
            this.waiting.set(id, { resolve, reject });
            this.child.send({ id, name, options });
        });
    }

    end() {
        this.child.kill('SIGKILL');
    }
}

/** For `after`. */
export function endCrowds() {
    running.forEach((crowd) => crowd.end());
}
