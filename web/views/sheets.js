/* Dialogs that are not about a KPI: keyboard help, how the page is shown, signing in. Loaded when first asked for. */
import { Component } from 'preact';
import { SHORTCUTS } from '../keys.js';
import { DENSITIES, RATES, THEMES } from '../view_state.js';
import { html } from './parts.js';

// ---- keyboard help ----

const keysOf = (text) => text.split(' ').map((key) => html`<kbd key=${key}>${key}</kbd>`);

function Help({ store, view, actions }) {
    const boards = store.list.map(({ id, title }) => [`g ${id[0]}`, `${title} board`]);
    return html`
        <dl class="keys">${[...boards, ...SHORTCUTS].map(([keys, text]) => html`<div key=${keys}><dt>${keysOf(keys)}</dt><dd>${text}</dd></div>`)}</dl>
        <label class="check"><input type="checkbox" checked=${view.hasKeys} onChange=${(event) => actions.keys(event.target.checked)} /> Single keys act (Esc always does)</label>`;
}

// ---- how the page is shown ----

const rateWords = { 0: 'Instant', 1: '1 s', 5: '5 s', 30: '30 s' };
const themeWords = { auto: 'As the system', light: 'Light', dark: 'Dark', contrast: 'High contrast' };
const densityWords = { comfortable: 'Comfortable', compact: 'Compact' };

function Choice({ name, title, values, words, chosen, onChoose, note }) {
    return html`<fieldset class="choice-set"><legend>${title}</legend>
        <div class="choices">${values.map((value) => html`<label key=${value} class="choice"><input type="radio" name=${name} value=${value}
            checked=${value === chosen} onChange=${() => onChoose(value)} />${words[value]}</label>`)}</div>
        ${note && html`<p class="feed-label">${note}</p>`}
    </fieldset>`;
}

function Settings({ view, actions, close }) {
    const after = (action) => () => {
        close();
        action();
    };
    return html`
        <${Choice} name="rate" title="Update rate" values=${RATES} words=${rateWords} chosen=${view.rateS} onChoose=${actions.rate}
            note="The gateway merges what happens in between; the newest value always wins." />
        <${Choice} name="theme" title="Theme" values=${THEMES} words=${themeWords} chosen=${view.theme} onChoose=${actions.theme} />
        <${Choice} name="density" title="Density" values=${DENSITIES} words=${densityWords} chosen=${view.density} onChoose=${(value) => value !== view.density && actions.density()} />
        <p class="buttons">
            <button class="quiet" type="button" onClick=${after(actions.openFilter)}>Filter</button>
            <button class="quiet" type="button" onClick=${after(actions.copyLink)}>Copy link</button>
            <button class="quiet" type="button" onClick=${after(actions.exportCsv)}>Export CSV</button>
            <button class="quiet" type="button" onClick=${after(actions.print)}>Print</button>
            <button class="quiet" type="button" onClick=${after(actions.tv)}>TV view</button>
            <button class="quiet" type="button" onClick=${after(actions.help)}>Keyboard</button>
        </p>`;
}

// ---- signing in by a token: for people whose site gives them one, and for displays on a wall ----

class Token extends Component {
    submit = (event) => {
        event.preventDefault();
        const token = this.field.value.trim();
        if (token) {
            this.props.actions.showToken(token, this.keep.checked);
            this.props.close();
        }
    };

    render() {
        return html`<form onSubmit=${this.submit}>
            <p class="help-link">The gateway shows its boards to those who have a token. Whoever runs it can give you one; for a wall display, one that may only read what is to be seen there.</p>
            <label class="field">Token<input type="password" autocomplete="off" spellcheck="false" ref=${(field) => { this.field = field; }} /></label>
            <label class="check"><input type="checkbox" ref=${(keep) => { this.keep = keep; }} /> Keep it on this display</label>
            <p class="buttons"><button class="quiet" type="submit">Sign in</button></p>
        </form>`;
    }
}

const sheets = { help: ['Keyboard shortcuts', Help], settings: ['View', Settings], token: ['Sign in', Token] };

export class Sheet extends Component {
    componentDidMount() {
        this.dialog.showModal();
    }

    render({ store, view, actions }) {
        const [title, Content] = sheets[view.sheet];
        const close = () => this.dialog.close();
        return html`<dialog class="sheet" aria-labelledby="sheet-title" onClose=${actions.closeSheet} ref=${(dialog) => { this.dialog = dialog; }}
            onClick=${(event) => event.target === this.dialog && close()}>
            <div class="sheet-body"><header class="sheet-head"><h2 id="sheet-title">${title}</h2>
                <button class="quiet" type="button" autofocus onClick=${close}>Close</button></header>
            <${Content} store=${store} view=${view} actions=${actions} close=${close} /></div>
        </dialog>`;
    }
}
