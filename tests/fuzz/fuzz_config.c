/*
 * The configuration file. Whatever it holds, there is a configuration or a finding, never both and never
 * neither; and what is printed of a configuration is read again with the same values.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

/** Loads a text through a file that exists in memory only. NULL when it was refused. */
static struct config *load(const void *text, size_t length)
{
    static char *const no_environment[] = {NULL};
    struct config_report report;
    char path[64];
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    assert(file >= 0 && write(file, text, length) == (ssize_t)length);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    config_report_init(&report);
    struct config *config = config_load(path, no_environment, &report);
    assert((config != NULL) == (report.count == 0));
    config_report_finish(&report);
    (void)close(file); /* nothing can be lost */
    return config;
}

static char *print(const struct config *config, size_t *out_length)
{
    char *text = NULL;
    FILE *stream = open_memstream(&text, out_length);
    assert(stream && config_print(config, stream));
    assert(fclose(stream) == 0);
    return text;
}

/** A masked secret cannot be read again: a good one, even as a URL, of the same length takes its place. */
static void put_secrets_back(char *text)
{
    for (char *at = strstr(text, "\"***\""); at; at = strstr(at, "\"***\"")) {
        memcpy(at, "\"a=b\"", strlen("\"a=b\""));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct config *config = load(input, length);
    if (config) {
        size_t first_length = 0, second_length = 0;
        char *first = print(config, &first_length);
        put_secrets_back(first);
        struct config *again = load(first, first_length);
        char *second = again ? print(again, &second_length) : NULL;
        if (second) {
            put_secrets_back(second);
        }
        assert(second && first_length == second_length && memcmp(first, second, first_length) == 0);
        config_finish(again);
        free(first);
        free(second);
    }
    config_finish(config);
    return 0;
}
