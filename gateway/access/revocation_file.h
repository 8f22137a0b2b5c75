/**
 * A list of revocations in a file. Reading blocks, for some milliseconds: at the start, at a reload and after a change.
 */
#ifndef SOPHIA_ACCESS_REVOCATION_FILE_H
#define SOPHIA_ACCESS_REVOCATION_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "access/revocations.h"

/** Which state of a file was read. */
struct revocation_file {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
};

/** NULL with one sentence in out_problem, without the path. out_file is written whenever the file could be looked at. */
struct revocation_list *revocation_file_read(const char *path, struct revocation_file *out_file,
                                             char out_problem[REVOCATIONS_PROBLEM_BYTES]);
/** Has it been written, replaced or taken away since? One system call. */
bool revocation_file_changed(const char *path, const struct revocation_file *file);

#endif
