/* What is gone counts as a file of its own, so that it is told once and not at each look. */
#include "access/revocation_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct revocation_file seen(const struct stat *status)
{
    return (struct revocation_file){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = status->st_size,
        .written = status->st_mtim,
    };
}

struct revocation_list *revocation_file_read(const char *path, struct revocation_file *out_file,
                                             char out_problem[REVOCATIONS_PROBLEM_BYTES])
{
    struct stat status;
    struct revocation_list *list = NULL;
    char *text = malloc(REVOCATIONS_MAX_BYTES + 1);
    FILE *file = text ? fopen(path, "rbe") : NULL;
    bool is_open = file && fstat(fileno(file), &status) == 0;
    size_t length = is_open ? fread(text, 1, REVOCATIONS_MAX_BYTES + 1, file) : 0;
    if (is_open && ferror(file) == 0) {
        list = revocation_list_read(text, length, out_problem);
    } else {
        (void)snprintf(out_problem, REVOCATIONS_PROBLEM_BYTES, "cannot be read: %s",
                       text ? strerror(errno) : "memory ran out");
    }
    if (text) {
        *out_file = is_open ? seen(&status) : (struct revocation_file){.inode = 0};
    }
    if (file) {
        (void)fclose(file); /* only read: nothing can be lost */
    }
    free(text);
    return list;
}

bool revocation_file_changed(const char *path, const struct revocation_file *file)
{
    struct stat status;
    const struct revocation_file now =
        stat(path, &status) == 0 ? seen(&status) : (struct revocation_file){.inode = 0};
    return now.device != file->device || now.inode != file->inode || now.size != file->size ||
           now.written.tv_sec != file->written.tv_sec || now.written.tv_nsec != file->written.tv_nsec;
}
