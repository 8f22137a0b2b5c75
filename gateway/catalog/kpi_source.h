/**
 * `source` of a KPI definition: which members each kind has, and what of them the sources need.
 */
#ifndef SOPHIA_CATALOG_KPI_SOURCE_H
#define SOPHIA_CATALOG_KPI_SOURCE_H

#include "catalog/catalog.h"
#include "catalog/definition_reader.h"

/** Fills the source_ members of the KPI from raw's `source`; findings go to the report. */
void kpi_source_read(struct kpi *kpi, const json_t *raw, const struct place *place);
void kpi_source_finish(struct kpi *kpi);

#endif
