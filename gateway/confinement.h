/**
 * What the process gives up before it serves anybody: writing files and starting programs (Landlock), system calls that no server
 * needs (seccomp), and dumps of its memory, which holds keys. Whoever takes the process over has no more than that.
 *
 * Best effort: what the kernel lacks is not given up, which is logged. It cannot be taken back. A supervisor starts programs, so only
 * those who serve are confined.
 *
 * io_uring sends around the filter, not around Landlock.
 */
#ifndef SOPHIA_CONFINEMENT_H
#define SOPHIA_CONFINEMENT_H

#include <stdbool.h>

struct confinement_options {
    bool confines; /* files, programs and system calls */
    /** NULL-terminated, or NULL: beside these, files may still be made, changed and removed. */
    const char *const *new_files;
    /** NULL, or: beside this one files may be made and written, not removed or cut off. */
    const char *appended_file;
    bool may_dump_memory; /* and be looked into by others of the same user, as debuggers do */
};

/** Before any thread is started: threads that exist stay as they are. Logs once. */
void confine_process(const struct confinement_options *options);

#endif
