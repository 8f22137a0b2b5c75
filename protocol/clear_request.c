/* The text is untrusted, though its sender has a key: an object with exactly one member. */
#include "protocol/clear_request.h"

#include <jansson.h>
#include <string.h>

#include "protocol/json_depth.h"

enum { MAX_DEPTH = 4 };

static enum result refuse(enum result result, const char *what, const char **problem)
{
    *problem = what;
    return result;
}

enum result clear_request_decode(const char *text, size_t length, struct clear_request *out_request,
                                 const char **out_problem)
{
    if (json_is_deeper(text, length, MAX_DEPTH)) {
        return refuse(RESULT_TOO_DEEP, "the body is nested too deep", out_problem);
    }
    json_auto_t *body = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(body)) {
        return refuse(RESULT_MALFORMED, "the body is not a JSON object", out_problem);
    }
    const json_t *class = json_object_get(body, "class");
    const json_t *key = json_object_get(body, "key");
    const json_t *name = class ? class : key;
    if (!name || (class && key)) {
        return refuse(RESULT_MISSING_FIELD, "exactly one of class and key is needed", out_problem);
    }
    if (json_object_size(body) != 1) {
        return refuse(RESULT_UNKNOWN_TYPE, "only class and key are known here", out_problem);
    }
    if (!json_is_string(name)) {
        return refuse(RESULT_WRONG_TYPE, "class and key are texts", out_problem);
    }
    size_t name_length = json_string_length(name);
    if (name_length == 0 || name_length > CACHE_NAME_MAX_BYTES) {
        return refuse(RESULT_OUT_OF_RANGE, "a class or key has 1 to 512 bytes", out_problem);
    }
    out_request->is_class = class != NULL;
    memcpy(out_request->name, json_string_value(name), name_length + 1);
    return RESULT_OK;
}
