/**
 * The whole gateway as one object: who is created when, who is told what on a
 * signal, who goes first at the end.
 */
#ifndef SOPHIA_GATEWAY_H
#define SOPHIA_GATEWAY_H

#include <stdbool.h>

#include "catalog/catalog.h"
#include "config/config.h"

struct gateway;

/**
 * Build everything up to, not including, accepting connections.
 * Owns:   takes config, in every case; keeps its own reference to catalog.
 * Errors: NULL after logging why.
 */
struct gateway *gateway_create(struct config *config, struct catalog *catalog);

/** Accept, serve, drain on SIGTERM or SIGINT, reload on SIGHUP. False when a source could not start or the port could not be bound. */
bool gateway_run(struct gateway *gateway);

/** NULL is allowed. */
void gateway_destroy(struct gateway *gateway);

#endif
