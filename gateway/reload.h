/**
 * SIGHUP: what is read again, and what stays when something is wrong with it.
 *
 * Both log what they did and everything they found. False: nothing was taken over.
 */
#ifndef SOPHIA_RELOAD_H
#define SOPHIA_RELOAD_H

#include <stdbool.h>

#include "config/config.h"
#include "pipeline.h"

/** The options marked as reloadable; a difference in any other is told. */
bool reload_options(struct config *running);

/** The definitions; refused when they lack a field that the configuration in force maps something to. */
bool reload_definitions(const struct config *running, struct pipeline *pipeline);

#endif
