/*
 * Keeps the shell of the page - page, scripts, style - so that it opens without a network and says so.
 *
 * It never keeps a value: only the page itself and the files of a build are answered from here, and what it does not
 * know goes to the network untouched. The page is asked for at the gateway first; the copy is for when nobody answers.
 * A page that is open when the next build comes still finds the files of its own: the newest two builds stay.
 */
const files = SHELL_FILES;
const cacheName = `sophia-${files[0].split('/')[1]}`;
const BUILDS_KEPT = 2;

async function keep() {
    const cache = await caches.open(cacheName);
    await cache.addAll(['./', ...files]);
    await self.skipWaiting();
}

async function forget() {
    const names = (await caches.keys()).filter((name) => name.startsWith('sophia-') && name !== cacheName);
    await Promise.all(names.slice(0, Math.max(0, names.length - (BUILDS_KEPT - 1))).map((name) => caches.delete(name)));
    await self.clients.claim();
}

async function page(request) {
    try {
        return await fetch(request);
    } catch (error) {
        const kept = await (await caches.open(cacheName)).match('./');
        if (kept) {
            return kept;
        }
        throw error;
    }
}

const asset = async (request) => (await caches.match(request)) ?? fetch(request);

self.addEventListener('install', (event) => event.waitUntil(keep()));
self.addEventListener('activate', (event) => event.waitUntil(forget()));
self.addEventListener('fetch', (event) => {
    const { request } = event;
    const { origin, pathname } = new URL(request.url);
    if (request.method !== 'GET' || origin !== self.location.origin) {
        return;
    }
    if (request.mode === 'navigate' && pathname === new URL('./', self.registration.scope).pathname) {
        event.respondWith(page(request));
    } else if (pathname.startsWith(new URL('./assets/', self.registration.scope).pathname)) {
        event.respondWith(asset(request));
    }
});
