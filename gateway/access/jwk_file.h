/**
 * A key set in a file. Reading blocks; done at the start, at a reload and on the command line.
 */
#ifndef SOPHIA_ACCESS_JWK_FILE_H
#define SOPHIA_ACCESS_JWK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "access/jwk.h"

struct jwk_file {
    int64_t written_s;      /* Unix seconds */
    bool is_world_readable; /* by everybody on this machine */
    bool has_secret;        /* a key that also signs: whoever reads it may make tokens */
};

/**
 * Errors: NULL with one sentence in out_problem, without the path.
 * Owns:   out_file is written on success only.
 */
struct jwk_set *jwk_file_read(const char *path, enum jwk_purpose purpose, struct jwk_file *out_file,
                              char out_problem[JWK_PROBLEM_BYTES]);

#endif
