/**
 * Text that is shown on one line: findings, names and words that a person reads in a log or a report.
 *
 * Control characters are those of ASCII, DEL included; bytes of UTF-8 are left alone.
 */
#ifndef SOPHIA_BASE_ONE_LINE_H
#define SOPHIA_BASE_ONE_LINE_H

#include <stdbool.h>

/** Control characters become '?': a finding is one line, whatever it quotes. */
void make_one_line(char *text);
/** Without control characters. */
bool is_clean_text(const char *text);

#endif
