/* limits.h against PROTOCOL.md, "Limits": every number of a row, in the order of the row. */
#include "protocol/limits.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vectors.h"

static const struct {
    const char *row;
    long numbers[4]; /* 0 ends */
} rows[] = {
    {"viewer message", {VIEWER_MESSAGE_MAX_BYTES, VIEWER_MESSAGE_MAX_FRAGMENTS, VIEWER_MESSAGE_MAX_DEPTH}},
    {"token", {TOKEN_MAX_BYTES}},
    {"subscriptions per viewer", {SUBSCRIPTIONS_MAX}},
    {"viewer messages", {VIEWER_MESSAGES_PER_SECOND, 2 * VIEWER_MESSAGES_PER_SECOND}},
    {"refused messages per connection", {VIEWER_ERRORS_MAX}},
    {"report: delays / longest / apart", {REPORT_DELAYS_MAX, REPORT_DELAY_MAX_MS, REPORT_EVERY_MS}},
    {"board id / KPI id / row key", {BOARD_ID_MAX_BYTES, KPI_ID_MAX_BYTES, ROW_KEY_MAX_BYTES}},
    {"one value", {VALUE_MAX_BYTES}},
    {"reason", {REASON_MAX_BYTES}},
    {"roles of a token", {TOKEN_ROLES_MAX, TOKEN_ROLES_MAX_BYTES}},
    {"views of one board, watched at one time", {BOARD_VIEWS_MAX}},
    {"rows of one KPI", {TABLE_ROWS_MAX}},
    {"recent points per KPI", {HISTORY_POINTS_MAX}},
    {"points of one history answer", {HISTORY_READ_POINTS_MAX}},
    {"clear request / name in it", {CLEAR_BODY_MAX_BYTES, CACHE_NAME_MAX_BYTES}},
    {"text of one board", {BOARD_TEXT_MAX_BYTES}},
    {"ingest body / items / depth", {INGEST_BODY_MAX_BYTES, INGEST_ITEMS_MAX, INGEST_MAX_DEPTH}},
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

/** The next number at or behind *at on this line, "16,384" being one number; 0 at the end of the line. */
static long next_number(const char **at)
{
    while (**at != '\n' && (**at < '0' || **at > '9')) {
        (*at)++;
    }
    long number = 0;
    while ((**at >= '0' && **at <= '9') || (**at == ',' && (*at)[1] >= '0' && (*at)[1] <= '9')) {
        number = **at == ',' ? number : number * 10 + (**at - '0');
        (*at)++;
    }
    return number;
}

static void check_row(const char *line)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        size_t length = strlen(rows[i].row);
        if (strncmp(line + 2, rows[i].row, length) != 0 || line[2 + length] != ' ' ||
            line[3 + length] != '|') {
            continue;
        }
        const char *at = line + 3 + length;
        print_message("  %s\n", rows[i].row);
        for (int n = 0; n < 4; n++) {
            assert_int_equal(next_number(&at), rows[i].numbers[n]);
        }
        return;
    }
    fail_msg("PROTOCOL.md has a limit this test does not know: %.60s", line);
}

static void test_the_limits_equal_the_ones_in_the_text(void **state)
{
    (void)state;
    char *text = source_file_read("protocol/PROTOCOL.md");
    const char *line = strstr(text, "| limit | value |\n|---|---|\n");
    assert_non_null(line);
    line = strchr(strchr(line, '\n') + 1, '\n') + 1;
    size_t count = 0;
    while (*line == '|') {
        check_row(line);
        count++;
        line = strchr(line, '\n') + 1;
    }
    assert_int_equal(count, ROW_COUNT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_limits_equal_the_ones_in_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
