/*
 * What makes the page installable, once it is live: the manifest, and a worker that keeps the page's own files.
 * Neither is needed for the first view, and neither may stand in its way.
 */

/** Addresses of scripts are checked by the page's policy: this is the only one that is ever made from a text. */
function workerAddress() {
    const address = './sw.js';
    return globalThis.trustedTypes ? trustedTypes.createPolicy('sophia-shell', { createScriptURL: () => address }).createScriptURL('') : address;
}

export function install() {
    const link = document.createElement('link');
    Object.assign(link, { rel: 'manifest', href: 'manifest.webmanifest' });
    document.head.append(link);
    navigator.serviceWorker?.register(workerAddress()).catch(() => {}); // without it the page only opens with a network
}
