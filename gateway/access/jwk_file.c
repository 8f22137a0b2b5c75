/* The text is wiped: it may hold secrets. */
#include "access/jwk_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/** Up to one byte more than a set may have, so that a larger one is seen. */
static bool read_whole(FILE *file, char *to, size_t *out_length)
{
    *out_length = fread(to, 1, JWK_SET_MAX_BYTES + 1, file);
    return ferror(file) == 0;
}

static bool has_secret(const struct jwk_set *set, enum jwk_purpose purpose)
{
    bool is_found = purpose == JWK_TO_SIGN;
    for (size_t i = 0; i < jwk_set_count(set); i++) {
        is_found = is_found || jwk_algorithm(jwk_set_at(set, i)) == JWK_HS256;
    }
    return is_found;
}

struct jwk_set *jwk_file_read(const char *path, enum jwk_purpose purpose, struct jwk_file *out_file,
                              char out_problem[JWK_PROBLEM_BYTES])
{
    struct stat status;
    size_t length = 0;
    struct jwk_set *set = NULL;
    char *text = malloc(JWK_SET_MAX_BYTES + 1);
    FILE *file = text ? fopen(path, "rbe") : NULL;
    if (file && fstat(fileno(file), &status) == 0 && read_whole(file, text, &length)) {
        set = jwk_set_read(text, length, purpose, out_problem);
    } else {
        (void)snprintf(out_problem, JWK_PROBLEM_BYTES, "cannot be read: %s",
                       text ? strerror(errno) : "memory ran out");
    }
    if (set) {
        *out_file = (struct jwk_file){
            .written_s = status.st_mtim.tv_sec,
            .is_world_readable = (status.st_mode & S_IROTH) != 0,
            .has_secret = has_secret(set, purpose),
        };
    }
    if (file) {
        (void)fclose(file); /* only read: nothing can be lost */
    }
    if (text) {
        explicit_bzero(text, JWK_SET_MAX_BYTES + 1);
        free(text);
    }
    return set;
}
