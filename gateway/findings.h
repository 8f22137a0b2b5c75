/**
 * Findings about configuration and definitions in the log, one line each.
 */
#ifndef SOPHIA_FINDINGS_H
#define SOPHIA_FINDINGS_H

#include "base/log.h"
#include "protocol/bytes.h"

/** text: one finding per line, as config_report and catalog_report hold them. */
void findings_log(enum log_level level, const char *message, const struct bytes *text);

#endif
