/* Options first: the log level they bring is in force while the definitions are read. */
#include "reload.h"

#include <unistd.h>

#include "base/log.h"
#include "catalog/catalog.h"
#include "command_line.h"
#include "findings.h"

bool reload_options(struct config *running)
{
    struct config_report report, changes;
    config_report_init(&report);
    config_report_init(&changes);
    struct config *fresh = config_load(running->file, environ, &report);
    bool is_done = fresh != NULL;
    if (is_done) {
        (void)directories_fill_in(fresh); /* as at the start, or they would count as changed */
        config_reload(running, fresh, &changes);
        log_configure(running->log.level, running->log.format);
    }
    findings_log(LOG_LEVEL_ERROR, "configuration refused, the one before stays", &report.text);
    findings_log(LOG_LEVEL_WARN, "configuration warning", &report.warnings);
    findings_log(LOG_LEVEL_WARN, "option not reloaded", &changes.warnings);
    config_finish(fresh);
    config_report_finish(&report);
    config_report_finish(&changes);
    return is_done;
}

/** Mappings are not reloadable: those in force must fit. */
static bool fits_mappings(const struct config *running, const struct catalog *catalog)
{
    struct config_report report;
    config_report_init(&report);
    bool fits = config_check_mappings(running, catalog, &report);
    findings_log(LOG_LEVEL_ERROR, "definitions refused, the ones before stay", &report.text);
    config_report_finish(&report);
    return fits;
}

bool reload_definitions(const struct config *running, struct pipeline *pipeline)
{
    struct catalog_report report;
    catalog_report_init(&report);
    struct catalog *catalog = catalog_load(running->definitions_dir, &report);
    findings_log(LOG_LEVEL_ERROR, "definitions refused, the ones before stay", &report.text);
    bool is_done = catalog && fits_mappings(running, catalog);
    if (is_done) {
        enum result result = pipeline_set_catalog(pipeline, catalog);
        is_done = result == RESULT_OK;
        if (is_done) {
            log_info("definitions reloaded", LOG_TEXT("catalog", catalog_hash(catalog)));
        } else {
            log_error("definitions refused, the ones before stay", LOG_TEXT("err", result_name(result)));
        }
    }
    catalog_unref(catalog);
    catalog_report_finish(&report);
    return is_done;
}
