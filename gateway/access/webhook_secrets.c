/*
 * A secret is written under another name first and then linked to its own: there is never half of one, and of two
 * processes that are offered one, one wins.
 */
#include "access/webhook_secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** The secrets of a webhook while they are being read. */
struct secrets {
    char *texts[WEBHOOK_SECRETS_MAX]; /* owned, wiped */
    size_t count;
};

static void wipe(struct secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++) {
        OPENSSL_clear_free(secrets->texts[i], WEBHOOK_SECRET_MAX_BYTES + 3);
    }
    secrets->count = 0;
}

static size_t without_line_end(const char *text, size_t length)
{
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) {
        length--;
    }
    return length;
}

/** Up to `size` bytes; -1 with errno. */
static ssize_t read_all(int fd, char *out, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t count = read(fd, out + length, size - length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return -1;
        }
        if (count == 0) {
            break;
        }
        length += (size_t)count;
    }
    return (ssize_t)length;
}

/** Adds the secret in this file. False with errno; 0 stands for what is wrong with the content. */
static bool read_secret(const char *file, struct secrets *secrets)
{
    enum { SIZE = WEBHOOK_SECRET_MAX_BYTES + 2 }; /* one line end, which may be two bytes */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    char *text = OPENSSL_zalloc(SIZE + 1);
    ssize_t length = text ? read_all(fd, text, SIZE) : -1;
    int error = text ? errno : ENOMEM;
    (void)close(fd); /* only read: nothing can be lost */
    if (length < 0) {
        OPENSSL_free(text);
        errno = error;
        return false;
    }
    secrets->texts[secrets->count++] = text;
    size_t used = without_line_end(text, (size_t)length);
    text[used] = '\0';
    errno = 0;
    return used > 0 && used <= WEBHOOK_SECRET_MAX_BYTES && strlen(text) == used;
}

static bool read_secrets(const char *const *files, bool may_be_missing, struct secrets *out_secrets,
                         char out_problem[WEBHOOK_PROBLEM_BYTES])
{
    *out_secrets = (struct secrets){0};
    for (size_t i = 0; files && files[i]; i++) {
        if (i == WEBHOOK_SECRETS_MAX) {
            (void)snprintf(out_problem, WEBHOOK_PROBLEM_BYTES, "more than %d files", WEBHOOK_SECRETS_MAX);
            wipe(out_secrets);
            return false;
        }
        if (read_secret(files[i], out_secrets)) {
            continue;
        }
        if (i == 0 && errno == ENOENT && may_be_missing) {
            continue;
        }
        (void)snprintf(out_problem, WEBHOOK_PROBLEM_BYTES, "%s %s%s", files[i],
                       errno != 0 ? "cannot be read: " : "does not hold one secret",
                       errno != 0 ? strerror(errno) : "");
        wipe(out_secrets);
        return false;
    }
    return true;
}

struct webhook *webhook_open(const struct webhook_options *options, const char *const *files,
                             char out_problem[WEBHOOK_PROBLEM_BYTES])
{
    struct secrets secrets;
    if (!read_secrets(files, options->provider == WEBHOOK_ASANA, &secrets, out_problem)) {
        return NULL;
    }
    struct webhook_options whole = *options;
    whole.secrets = (const char *const *)secrets.texts;
    whole.secret_count = secrets.count;
    const char *problem = NULL;
    struct webhook *webhook = webhook_create(&whole, &problem);
    if (!webhook) {
        (void)snprintf(out_problem, WEBHOOK_PROBLEM_BYTES, "%s", problem);
    }
    wipe(&secrets);
    return webhook;
}

static bool write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t count = write(fd, text, length);
        if (count < 0 && errno != EINTR) {
            return false;
        }
        text += count > 0 ? count : 0;
        length -= count > 0 ? (size_t)count : 0;
    }
    return fsync(fd) == 0;
}

static enum result result_of_link(int status)
{
    if (status == 0) {
        return RESULT_OK;
    }
    return errno == EEXIST ? RESULT_FULL : RESULT_IO;
}

enum result webhook_secret_store(const char *file, const char *secret)
{
    char draft[4096];
    int length = snprintf(draft, sizeof draft, "%s.XXXXXX", file);
    if (length < 0 || (size_t)length >= sizeof draft) {
        errno = ENAMETOOLONG;
        return RESULT_IO;
    }
    int fd = mkostemp(draft, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) {
        return RESULT_IO;
    }
    bool is_written = write_all(fd, secret, strlen(secret));
    enum result result = is_written ? result_of_link(link(draft, file)) : RESULT_IO;
    int error = errno;
    (void)close(fd);     /* synchronised above */
    (void)unlink(draft); /* a draft that stays harms nobody: the link is made, or the caller knows */
    errno = error;
    return result;
}
