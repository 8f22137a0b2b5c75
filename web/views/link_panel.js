/*
 * What is known about the link: how long a message takes, how late changes are on the screen, what has come, and from
 * which gateway. Loaded once the page is live, so that it is there when the link is not.
 */
import { Component } from 'preact';
import { formatPosition } from '../client/protocol.js';
import { formatDuration } from '../client/format.js';
import { html } from './parts.js';

const ms = (value) => `${Math.round(value)}\u202fms`;
const plural = (count, word) => `${count.toLocaleString('en-US')} ${word}${count === 1 ? '' : 's'}`;

function clockText(offsetMs) {
    if (Math.abs(offsetMs) < 1) {
        return 'the same as the gateway\u2019s';
    }
    return `${ms(Math.abs(offsetMs))} ${offsetMs > 0 ? 'behind' : 'ahead of'} the gateway\u2019s`;
}

function delayText(summary) {
    return summary ? `half within ${ms(summary.p50)}, 95 of 100 within ${ms(summary.p95)}, longest ${ms(summary.max)}` : 'no change yet';
}

/** [term, text, how much of it]: the last is said in a smaller voice. */
export function linkFacts({ store, connection, delays, word }) {
    const { link } = store;
    const { counts } = connection;
    const summary = delays?.summary();
    return [
        ['Link', word, `for ${formatDuration((store.localNow() - link.since) / 1000)}`],
        ['Round trip', link.roundTripMs === undefined ? 'not measured yet' : ms(link.roundTripMs), link.roundTripMs === undefined ? '' : 'the quickest of the last eight'],
        ['Change to screen', delayText(summary), summary ? `${plural(summary.count, 'change')}${summary.count > 512 ? ', the newest 512 of them' : ''}` : ''],
        ['Clock here', clockText(store.offsetMs), ''],
        ['Received', plural(counts.frames, 'frame'), `${plural(counts.changes, 'change')} in ${plural(counts.updates, 'update')}, ${counts.merged.toLocaleString('en-US')} of them merged`],
        ['Resyncs', String(counts.resyncs), plural(counts.connections, 'connection')],
        ...[...connection.boards.keys()].map((board) => [`Position, ${board}`, formatPosition(store.positionOf(board)) ?? 'none yet', '']),
        ['Gateway', store.build ?? 'not known yet', store.node ? `node ${store.node}` : ''],
    ];
}

export class LinkPanel extends Component {
    componentDidMount() {
        this.dialog.showModal();
    }

    render({ onClose, ...sources }) {
        return html`<dialog class="sheet link-panel" aria-labelledby="link-title" onClose=${onClose} ref=${(dialog) => { this.dialog = dialog; }}>
            <div class="sheet-body"><h2 id="link-title">Link</h2>
            <dl>${linkFacts(sources).map(([term, text, more]) => html`<div key=${term}><dt>${term}</dt>
                <dd>${text}${more && html`<small>${more}</small>`}</dd></div>`)}</dl>
            <button class="quiet" type="button" autofocus onClick=${() => this.dialog.close()}>Close</button></div>
        </dialog>`;
    }
}
