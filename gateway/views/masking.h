/**
 * Text that is made unrecognisable, for viewers that may not see whom it is about.
 *
 *     all      the text becomes ***
 *     name     every word becomes its initial and *: "Maria von Müller" -> "M* v* M*"
 *     prose    words of lower-case letters and short numbers stay, every other word becomes as above; a word with an @ becomes
 *              *@*, seven digits or more, however they are set apart, become *
 *
 * prose knows no names: what stays is what cannot be one when names are written with a capital. Letters of scripts without
 * capitals become *, as do digits that are not 0 to 9. Text in which names may be written small wants `all`.
 *
 * Pure: text in, text out, the same everywhere. docs/definitions.md has the rules for people.
 */
#ifndef SOPHIA_VIEWS_MASKING_H
#define SOPHIA_VIEWS_MASKING_H

#include <stdbool.h>
#include <stddef.h>

#include "catalog/catalog.h"
#include "protocol/bytes.h"

/** Appends the masked form of UTF-8 text; at most half as long again, or 3 bytes. */
void mask_text(enum text_mask mask, const char *text, size_t length, struct bytes *out);

/**
 * A board's value text with what is not plain masked. plain: as audience.plain.
 *
 * `v`: text by its mask; a cell that is not text, or of no column, is left out. `reason` becomes ***. Of the other members only
 * as_of, state, level, ver and demo stay.
 * Cost:  the value is parsed and printed.
 * false: it is no value, and nothing was appended; or memory ran out, which `out` tells.
 */
bool mask_value(const struct kpi *kpi, unsigned plain, const char *value, size_t length, struct bytes *out);

#endif
