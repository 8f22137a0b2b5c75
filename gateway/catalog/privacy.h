/**
 * What kind of people a value is about, and how its text is made unrecognisable for who may not see it.
 *
 * A definition or column says its class with `privacy`; text of a class says with `mask` how it is masked.
 */
#ifndef SOPHIA_CATALOG_PRIVACY_H
#define SOPHIA_CATALOG_PRIVACY_H

#include <jansson.h>
#include <stdbool.h>

#include "catalog/catalog.h"
#include "catalog/definition_reader.h"

/** The class of this object, or of what it belongs to when it names none. What is wrong is a finding. */
enum privacy privacy_read(const json_t *object, enum privacy otherwise, const struct place *place);
/** How its text is masked: MASK_ALL unless it says otherwise. `mask` on what is not text, or is public, is a finding. */
enum text_mask privacy_read_mask(const json_t *object, enum privacy privacy, bool is_text,
                                 const struct place *place);

#endif
