/*
 * The keyboard map: one table that the keys act by and the help sheet shows. Esc works even when the rest is switched off.
 *
 * Keys typed into a field, with a modifier, or over an open dialog are the browser's.
 */

const GO_MS = 1500;

/** [keys, what it does, action]: shown as written here. */
export const SHORTCUTS = [
    ['space', 'Pause, and go on', 'pause'],
    ['/', 'Filter the board', 'openFilter'],
    ['arrows', 'From card to card', ''],
    ['Enter', 'Open the card: history, definition, events', ''],
    ['n', 'Next change while you were away', 'nextAway'],
    ['v', 'View: update rate, theme, density', 'settings'],
    ['d', 'Density', 'density'],
    ['t', 'TV view', 'tv'],
    ['l', 'Link: delays, positions, gateway', 'link'],
    ['c', 'Copy the link to this view', 'copyLink'],
    ['x', 'Export as CSV', 'exportCsv'],
    ['?', 'This help', 'help'],
    ['Esc', 'Close, clear the filter, leave the TV view', 'escape'],
];

const byKey = new Map(SHORTCUTS.filter(([, , action]) => action && action !== 'escape')
    .map(([key, , action]) => [key === 'space' ? ' ' : key, action]));

const isTyping = (element) => element?.closest?.('input, textarea, select, [contenteditable]');
const usesSpace = (element) => element?.closest?.('button, a, [role=region], summary');
const usesArrows = (element) => element?.closest?.('[role=region], input, select');

// ---- from card to card ----

const handles = () => [...document.querySelectorAll('.card-open')].filter((element) => element.getClientRects().length > 0);

function centre(element) {
    const { left, top, width, height } = (element.closest('.card') ?? element).getBoundingClientRect();
    return { x: left + width / 2, y: top + height / 2 };
}

/** The nearest card in a direction: up and down to the next row before all, across within the row. */
function neighbour(from, all, key) {
    const at = centre(from);
    const isAcross = key === 'ArrowLeft' || key === 'ArrowRight';
    const sign = key === 'ArrowRight' || key === 'ArrowDown' ? 1 : -1;
    let best = null;
    for (const element of all) {
        const to = centre(element);
        const ahead = sign * (isAcross ? to.x - at.x : to.y - at.y);
        const aside = Math.abs(isAcross ? to.y - at.y : to.x - at.x);
        const cost = isAcross ? ahead + 2 * aside : 4 * ahead + aside;
        if (element !== from && ahead > 4 && (!isAcross || aside < ahead) && (!best || cost < best.cost)) {
            best = { element, cost };
        }
    }
    return best?.element;
}

function moveFocus(key) {
    const all = handles();
    const from = all.find((element) => element === document.activeElement);
    const to = from ? neighbour(from, all, key) : all[0];
    to?.focus();
    return to !== undefined;
}

/** Acts on keydown events. `boards` gives the boards in order, `isOn` whether single keys are wanted. */
export function keyboard({ actions, boards, isOn, isCovered }) {
    let goPressedAt = -Infinity;
    const go = (letter) => {
        const target = boards().find(({ id }) => id[0] === letter);
        if (target) {
            actions.board(target.id);
        }
    };
    return (event) => {
        const { key, target } = event;
        if (event.ctrlKey || event.metaKey || event.altKey || isCovered()) {
            return;
        }
        if (key === 'Escape') {
            actions.escape();
            return;
        }
        if (isTyping(target) || !isOn()) {
            return;
        }
        const isGo = event.timeStamp - goPressedAt < GO_MS;
        goPressedAt = key === 'g' && !isGo ? event.timeStamp : -Infinity;
        if (isGo && /^[a-z]$/.test(key)) {
            go(key);
        } else if (key.startsWith('Arrow') && !usesArrows(target)) {
            if (moveFocus(key)) {
                event.preventDefault();
            }
        } else if (byKey.has(key) && !(key === ' ' && usesSpace(target))) {
            event.preventDefault();
            actions[byKey.get(key)]();
        }
    };
}
