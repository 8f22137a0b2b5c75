/* The words of two members; masking itself is views/masking. */
#include "catalog/privacy.h"

/* In the order of enum privacy; the last is known to be refused. */
static const char *const privacy_names[] = {"public", "business", "personal", "restricted", NULL};
/* In the order of enum text_mask. */
static const char *const mask_names[] = {"all", "name", "prose", NULL};

enum privacy privacy_read(const json_t *object, enum privacy otherwise, const struct place *place)
{
    int privacy = place_word(place, object, "privacy", privacy_names);
    if (privacy == PRIVACY_COUNT) {
        place_say(place, "privacy", "restricted content never leaves the database, so it cannot be shown");
        return PRIVACY_PERSONAL;
    }
    return privacy < 0 ? otherwise : (enum privacy)privacy;
}

enum text_mask privacy_read_mask(const json_t *object, enum privacy privacy, bool is_text,
                                 const struct place *place)
{
    int mask = place_word(place, object, "mask", mask_names);
    if (json_object_get(object, "mask") && (!is_text || privacy == PRIVACY_PUBLIC)) {
        place_say(place, "mask", "is for text that is business or personal");
    }
    return mask < 0 ? MASK_ALL : (enum text_mask)mask;
}
