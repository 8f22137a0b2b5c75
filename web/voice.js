/*
 * What the page says aloud to a screen reader. Two voices, and both are rare: a polite one, at most one sentence per half
 * minute, for the state of the board and the link; an alert, at most one per ten seconds, for what has become critical.
 * A value that changes says nothing: who wants to know reads the tile.
 */
import { chipOf, statusOf } from './views/app.js';

const POLITE_EVERY_MS = 30000;
const ALERT_EVERY_MS = 10000;
const ALERT_NAMES = 3;
const PASSING = ['connecting', 'catching_up', 'moved'];

export class Voice {
    constructor() {
        this.polite = '';
        this.alert = '';
        this.spokenAt = -Infinity;
        this.alertAt = -Infinity;
        this.said = 'Live';
        this.critical = { board: '', kpis: new Set() };
    }

    /** The answer to something a person just did. */
    say(text) {
        this.polite = text;
    }

    /** Once per second: `at` is a clock that nobody sets. */
    listen(store, board, at) {
        this.#state(store, board, at);
        this.#alarms(board, at);
    }

    #state(store, board, at) {
        const chip = chipOf(store);
        const status = statusOf(store, board, store.now());
        const state = status.kind === 'trouble' ? `${status.counts} on this board` : chip.word;
        if (PASSING.includes(chip.name) || state === this.said || at - this.spokenAt < POLITE_EVERY_MS) {
            return;
        }
        this.said = state;
        this.spokenAt = at;
        this.polite = status.kind === 'trouble' ? `${state}.` : `Link: ${state.toLowerCase()}.`;
    }

    /** What was critical when the board was opened is on the screen; what becomes so is told. */
    #alarms(board, at) {
        const kpis = board.definition?.kpis ?? {};
        const levelOf = (id, value) => value?.level ?? kpis[id].states?.[value?.v]?.level;
        const now = new Set([...board.entries].filter(([id, { value }]) => kpis[id] && levelOf(id, value) === 'crit').map(([id]) => id));
        if (this.critical.board !== board.id || !board.held.position) {
            this.critical = { board: board.held.position ? board.id : '', kpis: now };
            return;
        }
        const fresh = [...now].filter((id) => !this.critical.kpis.has(id));
        if (fresh.length > 0 && at - this.alertAt < ALERT_EVERY_MS) {
            return; // they stay new until they are told
        }
        if (fresh.length > 0) {
            const more = fresh.length > ALERT_NAMES ? ` and ${fresh.length - ALERT_NAMES} more` : '';
            this.alert = `Critical: ${fresh.slice(0, ALERT_NAMES).map((id) => kpis[id].title).join(', ')}${more}.`;
            this.alertAt = at;
        }
        this.critical.kpis = now;
    }
}
