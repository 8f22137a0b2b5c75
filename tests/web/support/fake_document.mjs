/* As much of a document as preact needs to draw into. It shows nothing; it tells what is kept. */

export class FakeNode {
    constructor(nodeType, localName) {
        Object.assign(this, { nodeType, localName, childNodes: [], attributes: [], parentNode: null, namespaceURI: 'http://www.w3.org/1999/xhtml' });
    }

    get firstChild() {
        return this.childNodes[0] ?? null;
    }

    get nextSibling() {
        const all = this.parentNode?.childNodes ?? [];
        return all[all.indexOf(this) + 1] ?? null;
    }

    get ownerDocument() {
        return {
            createElementNS: (space, name) => new FakeNode(1, name),
            createTextNode: (data) => Object.assign(new FakeNode(3), { data }),
        };
    }

    insertBefore(node, before) {
        node.remove();
        this.childNodes.splice(before ? this.childNodes.indexOf(before) : this.childNodes.length, 0, node);
        node.parentNode = this;
    }

    remove() {
        const all = this.parentNode?.childNodes ?? [];
        all.splice(0, all.length, ...all.filter((node) => node !== this));
        this.parentNode = null;
    }

    setAttribute() {}

    removeAttribute() {}

    addEventListener() {}

    removeEventListener() {}

    querySelector() {
        return null;
    }
}
