/**
 * Where in a JSON document something stands: "/payload/items/0/amount". Spec: RFC 6901, the text form.
 */
#ifndef SOPHIA_PROTOCOL_JSON_POINTER_H
#define SOPHIA_PROTOCOL_JSON_POINTER_H

#include <jansson.h>
#include <stdbool.h>

enum {
    JSON_POINTER_MAX_BYTES = 256,
    JSON_POINTER_MAX_STEPS = 16,
};

/** "" (the whole document), or steps that each begin with "/"; in them "~" is written "~0" and "/" "~1". */
bool json_pointer_is_valid(const char *pointer);
/** The value there; NULL when there is none, or the pointer is not valid. Owns: borrowed from the document. */
json_t *json_pointer_get(const json_t *document, const char *pointer);

#endif
