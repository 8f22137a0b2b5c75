/* Any text as a list of revocations: refused with a reason, or one that shuts out what its lines name and nobody else. */
#include "access/revocations.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    char problem[REVOCATIONS_PROBLEM_BYTES] = "";
    struct revocation_list *list = revocation_list_read((const char *)input, size, problem);
    if (!list) {
        assert(problem[0] != '\0' && memchr(problem, '\0', sizeof problem));
        return 0;
    }
    assert(size == 0 || input[size - 1] == '\n');
    assert(revocation_list_count(list) <= size / 5); /* "jti:a" */
    struct revocations revocations = {.lists = {list}};
    assert(!revocations_cover(&revocations, "\n", "\n", 0));
    assert(!revocations_cover(&revocations, "", "", 0));
    if (revocation_list_count(list) == 0) {
        assert(!revocations_cover(&revocations, "alice", "a1", 0));
    }
    /* A line alone says what it says in a list. */
    const char *end = memchr(input, '\n', size);
    struct revocation_list *first = revocation_list_create();
    assert(first);
    if (end &&
        revocation_list_add(first, (const char *)input, (size_t)(end - (const char *)input)) == RESULT_OK) {
        assert(revocation_list_count(first) == 1);
    }
    revocation_list_destroy(first);
    revocations_finish(&revocations);
    return 0;
}
