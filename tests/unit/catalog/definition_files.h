/**
 * Directories of definitions, made by a test and removed at its end.
 */
#ifndef SOPHIA_TESTS_DEFINITION_FILES_H
#define SOPHIA_TESTS_DEFINITION_FILES_H

#include "catalog/catalog.h"

/** A small, good set of definitions in a new directory; returns its path, to be freed by definitions_remove(). */
char *definitions_create(void);
void definitions_remove(char *directory);
/** Write a file of the directory. */
void definitions_write(const char *directory, const char *name, const char *text);

/** Write `kpis` (the inside of the list) and a board that shows the one called id, then load. NULL with findings. */
struct catalog *definitions_load_kpis(const char *kpis, const char *id, struct catalog_report *report);

/** A catalogue of these KPIs that must be good. */
struct catalog *definitions_must_load(const char *kpis, const char *id);

/** Fails the test unless loading these KPIs tells a finding that contains `expected`. */
void assert_kpis_refused(const char *kpis, const char *expected);
/** Fails the test unless the directory is refused with a finding that contains `expected`. */
void assert_directory_refused(const char *directory, const char *expected);

#endif
