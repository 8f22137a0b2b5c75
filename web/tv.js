/*
 * A wall display: boards in turn, the screen kept awake, and the page renewed when the gateway has a newer one.
 *
 * Nothing here may leave the wall blank. The next board is shown only once it is there; the page is loaded anew only
 * after the new one has been fetched, and only between two boards.
 */

const READY_MS = 8000;
const CHECK_EVERY_MS = 300000;
const RETRY_MS = 1000;

/** Which build this page is of: the folder its scripts came from. */
export const ownBuild = () => /\/assets\/([0-9a-f]+)\//.exec(import.meta.url)?.[1];

/** The folder of another build that the gateway serves and that can be loaded; undefined when it is ours, or in doubt. */
export async function newerBuild() {
    try {
        const page = await fetch('./', { cache: 'no-store', headers: { accept: 'text/html' } });
        const build = /assets\/([0-9a-f]+)\/main\.js/.exec(page.ok ? await page.text() : '')?.[1];
        if (!build || !ownBuild() || build === ownBuild()) {
            return undefined;
        }
        const files = await Promise.all(['main.js', 'client.js', 'views.js', 'style.css'].map((file) => fetch(`assets/${build}/${file}`)));
        return files.every(({ ok }) => ok) ? build : undefined;
    } catch {
        return undefined;
    }
}

/**
 * @param actions.view      () => {boardId, isTv, rotation}
 * @param actions.prepare   (id) => have this board followed
 * @param actions.isReady   (id) => can it be shown?
 * @param actions.show      (id) => show it, in place of the one before
 * @param actions.drop      (id) => it never came: follow it no longer
 * @param actions.renew     (id) => load the page anew, with this board
 */
export class Tv {
    constructor(actions) {
        this.actions = actions;
        this.timer = null;
        this.lock = null;
    }

    start() {
        this.keepAwake();
        this.#later();
    }

    stop() {
        clearTimeout(this.timer);
        this.timer = null;
        this.lock?.release().catch(() => {});
        this.lock = null;
    }

    /** The lock is lost whenever the page is hidden. */
    async keepAwake() {
        try {
            this.lock = await navigator.wakeLock.request('screen');
        } catch {
            this.lock = null; // not allowed or not known here: the display's own settings decide
        }
    }

    #position() {
        const { boardId, rotation } = this.actions.view();
        return Math.max(0, rotation.findIndex(({ id }) => id === boardId));
    }

    #later() {
        clearTimeout(this.timer);
        const { rotation } = this.actions.view();
        const delay = rotation.length > 0 ? rotation[this.#position()].seconds * 1000 : CHECK_EVERY_MS;
        this.timer = setTimeout(() => this.#turn(), delay);
    }

    async #turn() {
        const { boardId, rotation } = this.actions.view();
        const at = this.#position();
        const others = rotation.map((_, i) => rotation[(at + 1 + i) % rotation.length].id).filter((id) => id !== boardId);
        if (await newerBuild()) {
            this.actions.renew(others[0] ?? boardId);
            return;
        }
        for (const id of others) {
            if (this.timer !== null && await this.#isThere(id)) {
                this.actions.show(id);
                break;
            }
        }
        if (this.timer !== null) {
            this.#later();
        }
    }

    /** A board that does not come within a few seconds is passed over for this time; the last one stays. */
    async #isThere(id) {
        this.actions.prepare(id);
        for (let waited = 0; waited < READY_MS; waited += RETRY_MS / 4) {
            if (this.actions.isReady(id)) {
                return true;
            }
            await new Promise((resolve) => { setTimeout(resolve, RETRY_MS / 4); });
        }
        this.actions.drop(id);
        return false;
    }
}
