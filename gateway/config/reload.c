/* What a running gateway takes over from a file that was read again. */
#include <assert.h>
#include <string.h>

#include "config/entries.h"
#include "config/mappings.h"
#include "config/options.h"

static bool same_text(const char *left, const char *right)
{
    return left == right || (left && right && strcmp(left, right) == 0);
}

static bool same_list(char **left, char **right)
{
    size_t i = 0;
    while (left[i] != NULL && right[i] != NULL && strcmp(left[i], right[i]) == 0) {
        i++;
    }
    return left[i] == NULL && right[i] == NULL;
}

static bool same_value(const struct option *option, struct config *left, struct config *right)
{
    const void *a = option_slot(option, left);
    const void *b = option_slot(option, right);
    switch (option->kind) {
    case OPTION_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case OPTION_PORT:
        return *(const uint16_t *)a == *(const uint16_t *)b;
    case OPTION_INTEGER:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    case OPTION_REAL:
        return *(const double *)a == *(const double *)b;
    case OPTION_WORD:
        return memcmp(a, b, sizeof(unsigned)) == 0;
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_SECRET:
        return same_text(*(char *const *)a, *(char *const *)b);
    case OPTION_LIST:
        return same_list(*(char **const *)a, *(char **const *)b);
    case OPTION_MAPPINGS:
        return mappings_are_same(&left->ingest, &right->ingest);
    case OPTION_ENTRIES:
        return entries_are_same(option, left, right);
    }
    return true;
}

/** What is owned goes both ways: the value before is freed with `fresh`. */
static void take_over(const struct option *option, struct config *running, struct config *fresh)
{
    char **owned = option_slot(option, running);
    char **taken = option_slot(option, fresh);
    char *before = NULL;
    switch (option->kind) {
    case OPTION_WORD:
        memcpy(option_slot(option, running), option_slot(option, fresh), sizeof(unsigned));
        return;
    case OPTION_SECRET:
    case OPTION_PATH:
        before = *owned;
        *owned = *taken;
        *taken = before;
        return;
    case OPTION_ENTRIES:
        entries_swap(option, running, fresh);
        return;
    default:
        assert(false); /* no option of another kind is reloadable */
    }
}

void config_reload(struct config *running, struct config *fresh, struct config_report *report)
{
    const struct loading loading = {.report = report, .file = fresh->file};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &config_options[i];
        if (same_value(option, running, fresh)) {
            continue;
        }
        if (!option->is_reloadable) {
            loading_warn(&loading, NULL, option->name, "has changed; it takes a restart to come into force");
            continue;
        }
        take_over(option, running, fresh);
    }
}
