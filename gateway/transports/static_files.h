/**
 * The web page's files, read into memory once at start: what a request names
 * is a key in a map, never a path on disk.
 *
 * Each file is kept raw and, where that is smaller, gzipped; the answer is the one
 * the client accepts. ETags are hashes of the content. Files below /assets/<hex>/ never change
 * and say so; the others are revalidated each time.
 */
#ifndef SOPHIA_TRANSPORTS_STATIC_FILES_H
#define SOPHIA_TRANSPORTS_STATIC_FILES_H

#include <stddef.h>

#include "io/listener.h"

enum {
    STATIC_FILES_MAX = 2000,
    STATIC_FILES_MAX_BYTES = 64 << 20, /* of all files, raw */
    STATIC_FILES_MAX_DEPTH = 8,        /* of directories; also ends a loop of links */
};

struct static_files;

/**
 * Read the tree below `directory`; names that start with a dot are skipped.
 *
 * Errors: NULL, after logging what could not be read or which cap was passed: a page with a
 *         file missing is not served.
 */
struct static_files *static_files_load(const char *directory);

/** Serve every path that no other route takes; "/" and "…/" are their index.html. */
void static_files_add_routes(struct static_files *files, struct listener *listener);

size_t static_files_count(const struct static_files *files);

/** After the listener is gone: answers under way borrow the content. NULL is allowed. */
void static_files_destroy(struct static_files *files);

#endif
