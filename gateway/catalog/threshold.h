/**
 * Is a number within its limits: ok, warn or crit, with hysteresis and a
 * minimum duration. Pure: the previous state goes in, the next comes out.
 */
#ifndef SOPHIA_CATALOG_THRESHOLD_H
#define SOPHIA_CATALOG_THRESHOLD_H

#include <stdbool.h>
#include <stdint.h>

enum threshold_level { LEVEL_OK, LEVEL_WARN, LEVEL_CRIT, LEVEL_COUNT };
const char *threshold_level_name(enum threshold_level level);

enum threshold_basis {
    BASIS_VALUE,     /* the number itself */
    BASIS_VS_TARGET, /* number / target */
    BASIS_VS_BASE,   /* (number - base) / |base| */
};

enum threshold_direction {
    GOOD_UP,   /* below warn is warn, below crit is crit */
    GOOD_DOWN, /* at or above warn is warn, at or above crit is crit */
};

struct threshold {
    bool is_set;
    enum threshold_basis basis;
    enum threshold_direction direction;
    double warn, crit;
    double hysteresis; /* to leave a level the number must be better than its limit by this much */
    uint32_t for_ms;   /* a worse level must hold this long before it is told */
};

/** What threshold_evaluate must remember per field. Zeroed = LEVEL_OK, nothing pending. */
struct threshold_memory {
    enum threshold_level level;
    enum threshold_level pending;
    uint64_t pending_since_ms;
};

/** number, target, base: NAN when absent; the level is then LEVEL_OK. now_ms: monotonic. */
enum threshold_level threshold_evaluate(const struct threshold *threshold, struct threshold_memory *memory,
                                        double number, double target, double base, uint64_t now_ms);

#endif
