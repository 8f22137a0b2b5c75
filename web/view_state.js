/*
 * What is shown and how, as the page's address: everything two people need to look at the same thing. Values are not in
 * it, nor is a pause: a moment cannot be shared by a link.
 *
 * Pure. What is as usual is left out, and what an address says wrong is as usual.
 */

export const THEMES = ['auto', 'light', 'dark', 'contrast'];
export const DENSITIES = ['comfortable', 'compact'];
/** Seconds between two updates that a person may ask for; 0: each change at once. */
export const RATES = [0, 1, 5, 30];

const ROTATION_MIN_S = 5;
const ROTATION_MAX_S = 86400;
const isId = (text) => /^[a-z0-9_.-]{1,96}$/.test(text);

/** 'executive:60,competitive:45' -> [{id, seconds}]. What cannot be read is left out. */
export function parseRotation(text) {
    return (text ?? '').split(',').slice(0, 64).map((part) => {
        const [id, seconds = '60'] = part.split(':');
        return { id, seconds: Math.min(ROTATION_MAX_S, Math.max(ROTATION_MIN_S, Number(seconds) || 60)) };
    }).filter(({ id }) => isId(id));
}

const oneOf = (known, value) => (known.includes(value) ? value : undefined);

/** An address's query -> the view it names. Theme and density are undefined where it leaves them to the viewer. */
export function viewOf(search) {
    const query = new URLSearchParams(search);
    const text = (name, isGood = isId) => (isGood(query.get(name) ?? '') ? query.get(name) ?? '' : '');
    return {
        boardId: text('board'),
        kpiId: text('kpi'),
        days: Number(text('days', (value) => /^[1-9][0-9]{0,2}$/.test(value))) || 0,
        filter: text('filter', (value) => value.length <= 100),
        rateS: oneOf(RATES, Number(query.get('rate') ?? 0)) ?? 0,
        theme: oneOf(THEMES, query.get('theme')),
        density: oneOf(DENSITIES, query.get('density')),
        isTv: query.get('tv') === '1',
        rotation: parseRotation(query.get('rotate')),
    };
}

/** The address of a view: what viewOf reads back. */
export function addressOf(view) {
    const query = new URLSearchParams({ board: view.boardId });
    const members = {
        kpi: view.kpiId, days: view.kpiId && view.days ? String(view.days) : '', filter: view.filter, rate: view.rateS ? String(view.rateS) : '',
        theme: view.theme === 'auto' ? '' : view.theme, density: view.density === 'comfortable' ? '' : view.density, tv: view.isTv ? '1' : '',
        rotate: (view.rotation ?? []).map(({ id, seconds }) => `${id}:${seconds}`).join(','),
    };
    Object.entries(members).filter(([, value]) => value).forEach(([name, value]) => query.set(name, value));
    return `?${query}`.replaceAll('%3A', ':').replaceAll('%2C', ',');
}
