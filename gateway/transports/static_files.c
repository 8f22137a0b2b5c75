/*
 * Static files from memory. libwebsockets' own file serving answers POST with
 * the file, sends ETags without quotes and cannot compress; a page is a few
 * hundred kilobytes, so it is kept whole.
 *
 * Invariants: the map owns nothing; every file is in it under its absolute URL path;
 * content never changes after the load, so answers borrow it.
 */
#include "transports/static_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/log.h"
#include "base/map.h"
#include "io/http.h"

enum { URL_PATH_MAX_BYTES = 1024, ETAG_BYTES = 40 };

/** One form of a file's content. */
struct content {
    unsigned char *bytes; /* owned; NULL when there is no such form */
    size_t length;
    char etag[ETAG_BYTES];
};

struct file {
    const char *type;
    bool is_immutable;
    struct content raw;
    struct content gzip;
};

struct static_files {
    struct map by_path; /* URL path -> struct file, owned here */
    size_t bytes;       /* raw, of all files */
};

/** Where the walk through the tree is. */
struct walk {
    struct static_files *files;
    char path[URL_PATH_MAX_BYTES]; /* URL path so far, without a final slash */
    size_t length;
    unsigned depth;
};

static bool load_directory(struct walk *walk, int directory);

static bool complain(const struct walk *walk, const char *error)
{
    log_error("static files failed", LOG_TEXT("path", walk->path), LOG_TEXT("err", error));
    return false;
}

static const char *type_of(const char *path)
{
    static const struct {
        const char *ending;
        const char *type;
    } table[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".webmanifest", "application/manifest+json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".avif", "image/avif"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".woff", "font/woff"},
        {".ttf", "font/ttf"},
        {".wasm", "application/wasm"},
        {".txt", "text/plain; charset=utf-8"},
        {".md", "text/plain; charset=utf-8"},
        {".xml", "application/xml"},
        {".pdf", "application/pdf"},
    };
    const char *ending = strrchr(path, '.');
    for (size_t i = 0; ending != NULL && i < sizeof table / sizeof table[0]; i++) {
        if (strcasecmp(ending, table[i].ending) == 0) {
            return table[i].type;
        }
    }
    return "application/octet-stream";
}

/** "/assets/<8 or more hex digits>/...": the digits change with the content. */
static bool is_immutable_path(const char *path)
{
    static const char prefix[] = "/assets/";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    const char *hash = path + sizeof prefix - 1;
    size_t digits = strspn(hash, "0123456789abcdef");
    return digits >= 8 && hash[digits] == '/';
}

/** FNV-1a: the same on every node and after every restart, unlike the map's keyed hash. */
static uint64_t content_hash(const unsigned char *bytes, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3U;
    }
    return hash;
}

static void set_etags(struct file *file)
{
    uint64_t hash = content_hash(file->raw.bytes, file->raw.length);
    /* Two forms of one file are two representations: they need different strong tags. At most 36 characters. */
    (void)snprintf(file->raw.etag, ETAG_BYTES, "\"%zx-%016" PRIx64 "\"", file->raw.length, hash);
    (void)snprintf(file->gzip.etag, ETAG_BYTES, "\"%zx-%016" PRIx64 "z\"", file->raw.length, hash);
}

/** Fill out_gzip when compressing makes the content smaller. False when memory ran out. */
static bool compress_content(const struct content *raw, struct content *out_gzip)
{
    z_stream stream = {0};
    if (raw->length == 0) {
        return true;
    }
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, MAX_MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    unsigned char *bytes = malloc(raw->length);
    if (bytes == NULL) {
        (void)deflateEnd(&stream); /* fails only for data not yet written out */
        return false;
    }
    stream.next_in = raw->bytes;
    stream.avail_in = (uInt)raw->length;
    stream.next_out = bytes;
    stream.avail_out = (uInt)(raw->length - 1); /* not smaller: does not fit */
    bool is_smaller = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    size_t length = stream.total_out;
    (void)deflateEnd(&stream); /* as above */
    if (!is_smaller) {
        free(bytes);
        return true;
    }
    out_gzip->bytes = bytes;
    out_gzip->length = length;
    return true;
}

static void file_destroy(struct file *file)
{
    free(file->raw.bytes);
    free(file->gzip.bytes);
    free(file);
}

static bool read_whole(int fd, unsigned char *to, size_t length)
{
    while (length > 0) {
        ssize_t got = read(fd, to, length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false; /* also when the file shrank meanwhile */
        }
        to += got;
        length -= (size_t)got;
    }
    return true;
}

static struct file *file_create(const struct walk *walk, int fd, size_t length)
{
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return NULL;
    }
    file->type = type_of(walk->path);
    file->is_immutable = is_immutable_path(walk->path);
    file->raw.length = length;
    file->raw.bytes = malloc(length + 1);
    if (file->raw.bytes == NULL || !read_whole(fd, file->raw.bytes, length) ||
        !compress_content(&file->raw, &file->gzip)) {
        file_destroy(file);
        return NULL;
    }
    set_etags(file);
    return file;
}

static bool load_file(struct walk *walk, int fd, off_t size)
{
    struct static_files *files = walk->files;
    if ((uintmax_t)size > STATIC_FILES_MAX_BYTES - files->bytes) {
        return complain(walk, "more bytes than are kept in memory");
    }
    struct file *file = file_create(walk, fd, (size_t)size);
    if (file == NULL) {
        return complain(walk, "cannot be read");
    }
    enum result result = map_put(&files->by_path, walk->path, walk->length, file);
    if (result != RESULT_OK) {
        file_destroy(file);
        return complain(walk, result == RESULT_FULL ? "too many files" : result_name(result));
    }
    files->bytes += (size_t)size;
    return true;
}

/** One name of a directory: takes fd. */
static bool load_opened(struct walk *walk, int fd)
{
    struct stat about;
    if (fstat(fd, &about) != 0) {
        (void)close(fd);
        return complain(walk, strerror(errno));
    }
    if (S_ISDIR(about.st_mode)) {
        return load_directory(walk, fd);
    }
    /* Sockets, pipes and devices are no content. */
    bool is_good = !S_ISREG(about.st_mode) || load_file(walk, fd, about.st_size);
    (void)close(fd); /* only read from */
    return is_good;
}

static bool load_name(struct walk *walk, int directory, const char *name)
{
    if (name[0] == '.') {
        return true; /* this and the parent directory, and what is hidden */
    }
    size_t before = walk->length;
    int written = snprintf(walk->path + before, sizeof walk->path - before, "/%s", name);
    if (written < 0 || (size_t)written >= sizeof walk->path - before) {
        return complain(walk, "path is too long");
    }
    walk->length = before + (size_t)written;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is_good = fd >= 0 ? load_opened(walk, fd) : complain(walk, strerror(errno));
    walk->length = before;
    walk->path[before] = '\0';
    return is_good;
}

/** Takes `directory`. */
static bool load_directory(struct walk *walk, int directory)
{
    if (++walk->depth > STATIC_FILES_MAX_DEPTH) {
        (void)close(directory);
        return complain(walk, "directories are too deep");
    }
    DIR *listing = fdopendir(directory);
    if (listing == NULL) {
        (void)close(directory);
        return complain(walk, strerror(errno));
    }
    bool is_good = true;
    const struct dirent *entry;
    while (is_good && (entry = readdir(listing)) != NULL) {
        is_good = load_name(walk, directory, entry->d_name);
    }
    (void)closedir(listing); /* only read from */
    walk->depth--;
    return is_good;
}

struct static_files *static_files_load(const char *directory)
{
    struct static_files *files = calloc(1, sizeof *files);
    if (files == NULL) {
        log_error("static files failed", LOG_TEXT("err", result_name(RESULT_NO_MEMORY)));
        return NULL;
    }
    map_init(&files->by_path, STATIC_FILES_MAX);
    int fd = open(directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0) {
        log_error("static files failed", LOG_TEXT("path", directory), LOG_TEXT("err", strerror(errno)));
        static_files_destroy(files);
        return NULL;
    }
    struct walk walk = {.files = files};
    if (!load_directory(&walk, fd)) {
        static_files_destroy(files);
        return NULL;
    }
    return files;
}

void static_files_destroy(struct static_files *files)
{
    if (files == NULL) {
        return;
    }
    size_t cursor = 0;
    const char *path;
    size_t length;
    void *file;
    while (map_next(&files->by_path, &cursor, &path, &length, &file)) {
        file_destroy(file);
    }
    map_finish(&files->by_path);
    free(files);
}

size_t static_files_count(const struct static_files *files)
{
    return files->by_path.count;
}

/* Serving. */

/** Does Accept-Encoding allow gzip? A weight of 0 forbids it; an exact name outranks "*" (RFC 9110, 12.5.3). */
static bool accepts_gzip(const char *accept)
{
    bool any = false;
    while (accept != NULL && *accept != '\0') {
        accept += strspn(accept, ", \t");
        size_t length = strcspn(accept, ",");
        size_t name = strcspn(accept, ",; \t");
        const char *weight = memmem(accept, length, "q=", 2);
        bool is_allowed = weight == NULL || strtod(weight + 2, NULL) > 0;
        if (name == 4 && strncasecmp(accept, "gzip", 4) == 0) {
            return is_allowed;
        }
        any = any || (name == 1 && *accept == '*' && is_allowed);
        accept += length;
    }
    return any;
}

/** If-None-Match: "*" or a list of tags; weak comparison (RFC 9110, 13.1.2). */
static bool has_same_etag(const char *condition, const char *etag)
{
    size_t etag_length = strlen(etag);
    while (condition != NULL && *condition != '\0') {
        condition += strspn(condition, ", \t");
        size_t length = strcspn(condition, ", \t");
        const char *tag = condition;
        size_t tag_length = length;
        if (length > 2 && strncmp(tag, "W/", 2) == 0) {
            tag += 2;
            tag_length -= 2;
        }
        if ((length == 1 && *tag == '*') ||
            (tag_length == etag_length && strncmp(tag, etag, tag_length) == 0)) {
            return true;
        }
        condition += length;
    }
    return false;
}

static const struct file *find_file(const struct static_files *files, const char *path)
{
    size_t length = strlen(path);
    if (path[length - 1] != '/') {
        return map_get(&files->by_path, path, length);
    }
    char index[URL_PATH_MAX_BYTES];
    int written = snprintf(index, sizeof index, "%sindex.html", path);
    return written > 0 && (size_t)written < sizeof index ? map_get(&files->by_path, index, (size_t)written)
                                                         : NULL;
}

static void on_request(void *context, struct http_exchange *exchange)
{
    const struct file *file = find_file(context, http_path(exchange));
    if (file == NULL) {
        http_problem(exchange, 404, "not_found", NULL);
        return;
    }
    bool is_gzip = file->gzip.bytes != NULL && accepts_gzip(http_header(exchange, "accept-encoding"));
    const struct content *content = is_gzip ? &file->gzip : &file->raw;
    http_set_header(exchange, "ETag", content->etag);
    http_set_header(exchange, "Vary", "Accept-Encoding");
    http_set_header(exchange, "Cache-Control",
                    file->is_immutable ? "public, max-age=31536000, immutable" : "no-cache");
    if (has_same_etag(http_header(exchange, "if-none-match"), content->etag)) {
        http_answer(exchange, 304, NULL, NULL, 0, true);
        return;
    }
    if (is_gzip) {
        http_set_header(exchange, "Content-Encoding", "gzip");
    }
    http_answer(exchange, 200, file->type, content->bytes, content->length, true);
}

static bool exists(void *context, const char *path)
{
    return find_file(context, path) != NULL;
}

void static_files_add_routes(struct static_files *files, struct listener *listener)
{
    const struct http_route route = {
        .methods = HTTP_GET, .pattern = "/*", .context = files, .exists = exists, .on_request = on_request};
    listener_add_http(listener, &route);
}
