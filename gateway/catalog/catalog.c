/*
 * Loads a directory of definitions in four passes: classes, KPIs, the ties between KPIs, boards. Every pass
 * goes on after a finding; only when there is none at all does a catalogue come out. Findings about ties name
 * the file of the KPI that has the tie, so each raw definition is kept, with its file, until the end.
 */
#include "catalog/catalog.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "catalog/board_reader.h"
#include "catalog/class_table.h"
#include "catalog/definition_reader.h"
#include "catalog/kpi_definition.h"
#include "catalog/nearest_word.h"
#include "catalog/role_table.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum { HASH_TEXT_BYTES = 16 };

struct catalog {
    size_t references;
    struct class_table classes;
    struct role_table roles;
    struct kpi **kpis; /* owned; sorted by id */
    size_t kpi_count;
    struct map kpis_by_id;            /* borrows the KPIs */
    struct board_definition **boards; /* owned; in their order */
    size_t board_count;
    struct map boards_by_id; /* borrows the boards */
    char hash[HASH_TEXT_BYTES + 1];
};

/** A definition as it was read, until the catalogue is complete. */
struct raw_definition {
    json_t *json; /* one reference */
    char *file;
    union {
        struct kpi *kpi; /* owned by the loader until the catalogue takes it */
        struct board_definition *board;
    } made;
};

struct loader {
    struct catalog *catalog;
    const char *directory;
    struct catalog_report *report;
    json_t *classes; /* the file classes.json */
    struct raw_definition *kpis;
    size_t kpi_count, kpi_capacity;
    struct raw_definition *boards;
    size_t board_count, board_capacity;
};

static struct place place_in(const struct loader *loader, const char *file)
{
    return place_of_file(loader->report, file);
}

/** The next free slot of a growing array, zeroed; NULL when memory ran out. */
static struct raw_definition *next_slot(struct raw_definition **list, size_t *count, size_t *capacity)
{
    if (*count == *capacity) {
        size_t wanted = *capacity ? *capacity * 2 : 64;
        struct raw_definition *grown = realloc(*list, wanted * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        *list = grown;
        *capacity = wanted;
    }
    struct raw_definition *slot = &(*list)[*count];
    *slot = (struct raw_definition){0};
    return slot;
}

/* ---- files ---- */

static char *join_path(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static bool is_definition_name(const char *name)
{
    size_t length = strlen(name);
    return name[0] != '.' && length > 5 && strcmp(name + length - 5, ".json") == 0;
}

struct name_list {
    char **names; /* owned, like each of them */
    size_t count, capacity;
};

static void name_list_finish(struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
}

static bool name_list_grow(struct name_list *list)
{
    if (list->count < list->capacity) {
        return true;
    }
    size_t wanted = list->capacity ? list->capacity * 2 : 64;
    char **grown = realloc(list->names, wanted * sizeof *grown);
    if (grown) {
        list->names = grown;
        list->capacity = wanted;
    }
    return grown != NULL;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void list_add(struct name_list *list, const char *directory, const char *name,
                     const struct place *place)
{
    if (list->count == DEFINITION_FILES_MAX) {
        place_say(place, NULL, "more than %d files", DEFINITION_FILES_MAX);
        return;
    }
    char *path = name_list_grow(list) ? join_path(directory, name) : NULL;
    if (!path) {
        place_say_no_memory(place);
        return;
    }
    list->names[list->count++] = path;
}

static void list_definitions(struct name_list *list, const char *directory, const struct place *place)
{
    DIR *stream = opendir(directory);
    if (!stream) {
        place_say(place, NULL, "cannot be opened: %s", strerror(errno));
        return;
    }
    size_t findings = place->report->count;
    for (struct dirent *entry = readdir(stream); entry && place->report->count == findings;
         entry = readdir(stream)) {
        if (is_definition_name(entry->d_name)) {
            list_add(list, directory, entry->d_name, place);
        }
    }
    (void)closedir(stream); /* only read */
    if (list->count > 0) {
        qsort(list->names, list->count, sizeof *list->names, compare_names);
    }
}

/** Calls read_file for every definition file of a directory below ours, in the order of their names. */
static void read_directory(struct loader *loader, const char *name,
                           void (*read_file)(struct loader *, const char *))
{
    AUTO_FREE char *directory = join_path(loader->directory, name);
    struct place place = place_in(loader, directory ? directory : name);
    if (!directory) {
        place_say_no_memory(&place);
        return;
    }
    __attribute__((cleanup(name_list_finish))) struct name_list list = {.count = 0};
    list_definitions(&list, directory, &place);
    for (size_t i = 0; i < list.count; i++) {
        read_file(loader, list.names[i]);
    }
}

/* ---- first pass: classes ---- */

static const struct member_rule classes_file_rules[] = {{"about", MEMBER_TEXT, false},
                                                        {"classes", MEMBER_OBJECT, true}};

static void load_classes(struct loader *loader)
{
    AUTO_FREE char *path = join_path(loader->directory, "classes.json");
    struct place place = place_in(loader, path ? path : "classes.json");
    if (!path) {
        place_say_no_memory(&place);
        return;
    }
    loader->classes = definition_file_read(path, &place);
    if (!loader->classes ||
        !place_check_members(&place, loader->classes, classes_file_rules, COUNT_OF(classes_file_rules))) {
        return;
    }
    class_table_read(&loader->catalog->classes, json_object_get(loader->classes, "classes"), &place);
}

/* ---- second pass: KPIs ---- */

static const struct member_rule kpi_file_rules[] = {{"about", MEMBER_TEXT, false},
                                                    {"kpis", MEMBER_LIST, true}};

static void say_duplicate(const struct loader *loader, const struct kpi *kpi, const char *file)
{
    struct place place = place_in(loader, file);
    const char *first = "";
    for (size_t i = 0; i < loader->kpi_count; i++) {
        if (strcmp(loader->kpis[i].made.kpi->id, kpi->id) == 0) {
            first = loader->kpis[i].file;
        }
    }
    place_say(&place, kpi->id, "is defined twice (also in %s)", first);
}

/** Gives the KPI to the catalogue; false when it is a duplicate, one too many, or memory ran out. */
static bool keep_kpi(struct loader *loader, struct kpi *kpi, const json_t *raw, const char *file)
{
    struct place place = place_in(loader, file);
    struct map *by_id = &loader->catalog->kpis_by_id;
    if (map_get(by_id, kpi->id, strlen(kpi->id))) {
        say_duplicate(loader, kpi, file);
        return false;
    }
    struct raw_definition *slot = next_slot(&loader->kpis, &loader->kpi_count, &loader->kpi_capacity);
    char *file_copy = strdup(file);
    enum result result = slot && file_copy ? map_put(by_id, kpi->id, strlen(kpi->id), kpi) : RESULT_NO_MEMORY;
    if (result != RESULT_OK) {
        free(file_copy);
        place_say(&place, NULL,
                  result == RESULT_FULL ? "more KPIs than a catalogue holds" : "memory ran out");
        return false;
    }
    *slot = (struct raw_definition){
        .json = json_incref((json_t *)(uintptr_t)raw), .file = file_copy, .made.kpi = kpi};
    loader->kpi_count++;
    return true;
}

static void read_kpi_file(struct loader *loader, const char *file)
{
    struct place place = place_in(loader, file);
    json_auto_t *document = definition_file_read(file, &place);
    if (!document || !place_check_members(&place, document, kpi_file_rules, COUNT_OF(kpi_file_rules))) {
        return;
    }
    const json_t *list = json_object_get(document, "kpis");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *raw = json_array_get(list, i);
        struct kpi *kpi = kpi_read(raw, i, &loader->catalog->classes, &loader->catalog->roles, &place);
        if (kpi && !keep_kpi(loader, kpi, raw, file)) {
            kpi_destroy(kpi);
        }
    }
}

/* ---- third pass: ties between KPIs ---- */

static struct kpi *find_tied(const struct loader *loader, const char *id, const struct place *place)
{
    struct kpi *kpi = map_get(&loader->catalog->kpis_by_id, id, strlen(id));
    if (kpi) {
        return kpi;
    }
    struct nearest_word choice = {.word = id};
    for (size_t i = 0; i < loader->kpi_count; i++) {
        nearest_word_offer(&choice, loader->kpis[i].made.kpi->id);
    }
    if (choice.nearest) {
        place_say(place, NULL, "unknown KPI \"%.96s\" (did you mean \"%s\"?)", id, choice.nearest);
    } else {
        place_say(place, NULL, "unknown KPI \"%.96s\"", id);
    }
    return NULL;
}

static bool carries_the_same(const struct kpi *left, const struct kpi *right)
{
    return left->type == right->type && left->unit == right->unit && left->decimals == right->decimals &&
           left->scale == right->scale && !kpi_has_rows(left);
}

static bool is_derived(const struct kpi *kpi)
{
    return kpi->source_kind && strcmp(kpi->source_kind, "derived") == 0;
}

/** The origin knows its copies: a change of it is a change of theirs. */
static void add_copy(struct kpi *origin, struct kpi *copy, const struct place *at)
{
    struct kpi **grown = realloc(origin->derived, (origin->derived_count + 1) * sizeof(struct kpi *));
    if (!grown) {
        place_say_no_memory(at);
        return;
    }
    origin->derived = grown;
    origin->derived[origin->derived_count++] = copy;
    copy->derived_of = origin;
}

/** One step only: a copy of a copy could go round in a circle, and gains nothing. */
static void tie_origin(const struct loader *loader, const struct raw_definition *raw)
{
    struct kpi *kpi = raw->made.kpi;
    const char *of = json_string_value(json_object_get(json_object_get(raw->json, "source"), "of"));
    if (!is_derived(kpi) || !of) {
        return;
    }
    struct place file = place_in(loader, raw->file);
    struct place at = place_enter(&file, kpi->id);
    at = place_enter(&at, "source.of");
    struct kpi *origin = find_tied(loader, of, &at);
    if (!origin) {
        return;
    }
    if (origin == kpi) {
        place_say(&at, NULL, "a KPI cannot be derived from itself");
    } else if (is_derived(origin)) {
        place_say(&at, NULL, "\"%s\" is derived too, which may go round in a circle: name its origin", of);
    } else if (!carries_the_same(kpi, origin)) {
        place_say(&at, NULL, "\"%s\" differs in type, unit, decimals or scale, or has rows", of);
    } else {
        add_copy(origin, kpi, &at);
    }
}

static void tie_companions(const struct loader *loader, const struct raw_definition *raw)
{
    struct kpi *kpi = raw->made.kpi;
    const json_t *with = json_object_get(raw->json, "with");
    struct place file = place_in(loader, raw->file);
    struct place inner = place_enter(&file, kpi->id);
    size_t count = json_array_size(with);
    if (count == 0) {
        return;
    }
    kpi->companions = calloc(count, sizeof(struct kpi *));
    if (!kpi->companions) {
        place_say_no_memory(&inner);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct place at = place_enter_index(&inner, "with", i);
        const char *id = json_string_value(json_array_get(with, i));
        struct kpi *companion = id ? find_tied(loader, id, &at) : NULL;
        if (companion && (companion == kpi || kpi_has_rows(companion))) {
            place_say(&at, NULL, "must be another KPI that has a single value");
        } else if (companion) {
            kpi->companions[kpi->companion_count++] = companion;
        }
    }
}

static void check_companions(const struct loader *loader, const struct raw_definition *raw)
{
    const struct kpi *kpi = raw->made.kpi;
    for (size_t i = 0; i < kpi->companion_count; i++) {
        if (kpi->companions[i]->companion_count > 0) {
            struct place file = place_in(loader, raw->file);
            struct place at = place_enter(&file, kpi->id);
            place_say(&at, "with", "\"%s\" has companions of its own", kpi->companions[i]->id);
        }
    }
}

static void tie_kpis(struct loader *loader)
{
    for (size_t i = 0; i < loader->kpi_count; i++) {
        tie_origin(loader, &loader->kpis[i]);
        tie_companions(loader, &loader->kpis[i]);
    }
    for (size_t i = 0; i < loader->kpi_count; i++) {
        check_companions(loader, &loader->kpis[i]);
    }
}

/* ---- fourth pass: boards ---- */

static void say_duplicate_board(const struct loader *loader, const char *id, const struct place *place)
{
    const char *first = "";
    for (size_t i = 0; i < loader->board_count; i++) {
        if (strcmp(loader->boards[i].made.board->id, id) == 0) {
            first = loader->boards[i].file;
        }
    }
    place_say(place, id, "is defined twice (also in %s)", first);
}

static bool keep_board(struct loader *loader, struct board_definition *board, const json_t *raw,
                       const char *file)
{
    struct place place = place_in(loader, file);
    struct map *by_id = &loader->catalog->boards_by_id;
    if (map_get(by_id, board->id, strlen(board->id))) {
        say_duplicate_board(loader, board->id, &place);
        return false;
    }
    struct raw_definition *slot = next_slot(&loader->boards, &loader->board_count, &loader->board_capacity);
    char *file_copy = strdup(file);
    /* There is room: a board is a file, and files are counted. */
    if (!slot || !file_copy || map_put(by_id, board->id, strlen(board->id), board) != RESULT_OK) {
        free(file_copy);
        place_say_no_memory(&place);
        return false;
    }
    *slot = (struct raw_definition){
        .json = json_incref((json_t *)(uintptr_t)raw), .file = file_copy, .made.board = board};
    loader->board_count++;
    return true;
}

static void read_board_file(struct loader *loader, const char *file)
{
    struct place place = place_in(loader, file);
    json_auto_t *document = definition_file_read(file, &place);
    if (!document) {
        return;
    }
    struct board_definition *board =
        board_read(document, &loader->catalog->kpis_by_id, &loader->catalog->roles, &place);
    if (board && !keep_board(loader, board, document, file)) {
        board_definition_destroy(board);
    }
}

/* ---- the catalogue takes over ---- */

static int compare_raw_kpis(const void *left, const void *right)
{
    const struct raw_definition *a = left;
    const struct raw_definition *b = right;
    return strcmp(a->made.kpi->id, b->made.kpi->id);
}

static int compare_raw_boards(const void *left, const void *right)
{
    const struct raw_definition *a = left;
    const struct raw_definition *b = right;
    int difference = board_order(a->json) - board_order(b->json);
    return difference != 0 ? difference : strcmp(a->made.board->id, b->made.board->id);
}

/** FNV-1a: the hash tells sets of definitions apart, nobody gains by making two collide. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3ULL;
    }
    return (hash ^ '\n') * 0x100000001b3ULL;
}

static bool hash_json(uint64_t *hash, const json_t *json)
{
    AUTO_FREE char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    if (!text) {
        return false;
    }
    *hash = hash_text(*hash, text);
    return true;
}

static bool compute_hash(struct loader *loader)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    bool is_good = hash_json(&hash, json_object_get(loader->classes, "classes"));
    for (size_t i = 0; i < loader->kpi_count && is_good; i++) {
        is_good = hash_json(&hash, loader->kpis[i].json);
    }
    for (size_t i = 0; i < loader->board_count && is_good; i++) {
        is_good = hash_json(&hash, loader->boards[i].json);
    }
    (void)snprintf(loader->catalog->hash, sizeof loader->catalog->hash, "%016llx", (unsigned long long)hash);
    return is_good;
}

static bool take_definitions(struct loader *loader)
{
    struct catalog *catalog = loader->catalog;
    catalog->kpis = calloc(loader->kpi_count + 1, sizeof(struct kpi *));
    catalog->boards = calloc(loader->board_count + 1, sizeof(struct board_definition *));
    if (!catalog->kpis || !catalog->boards) {
        return false;
    }
    for (size_t i = 0; i < loader->kpi_count; i++) {
        catalog->kpis[catalog->kpi_count++] = TAKE(loader->kpis[i].made.kpi);
    }
    for (size_t i = 0; i < loader->board_count; i++) {
        catalog->boards[catalog->board_count++] = TAKE(loader->boards[i].made.board);
    }
    return true;
}

static bool make_room_for_boards(const struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->kpi_count; i++) {
        struct kpi *kpi = catalog->kpis[i];
        kpi->boards =
            kpi->board_count > 0 ? calloc(kpi->board_count, sizeof(struct board_definition *)) : NULL;
        if (kpi->board_count > 0 && !kpi->boards) {
            return false;
        }
        kpi->board_count = 0;
    }
    return true;
}

static bool tell_kpis_their_boards(const struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->board_count; i++) {
        for (size_t j = 0; j < catalog->boards[i]->kpi_count; j++) {
            catalog->boards[i]->kpis[j]->board_count++;
        }
    }
    if (!make_room_for_boards(catalog)) {
        return false;
    }
    for (size_t i = 0; i < catalog->board_count; i++) {
        struct board_definition *board = catalog->boards[i];
        for (size_t j = 0; j < board->kpi_count; j++) {
            struct kpi *kpi = board->kpis[j];
            kpi->boards[kpi->board_count++] = board;
        }
    }
    return true;
}

/* What a view of this KPI depends on, but for the viewer's rights: see views/view.h. */
static uint64_t fingerprint_of(const struct kpi *kpi)
{
    uint64_t hash = hash_text(0xcbf29ce484222325ULL, kpi->id);
    hash = hash * 31 + (uint64_t)kpi->privacy * 4 + (uint64_t)kpi->mask;
    for (size_t i = 0; i < kpi->column_count; i++) {
        hash = hash_text(hash, kpi->columns[i].key);
        hash = hash * 31 + (uint64_t)kpi->columns[i].privacy * 4 + (uint64_t)kpi->columns[i].mask;
    }
    return hash;
}

static void take_fingerprints(const struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->kpi_count; i++) {
        catalog->kpis[i]->fingerprint = fingerprint_of(catalog->kpis[i]);
    }
}

/** Every definition is good: put them in order. */
static void complete(struct loader *loader)
{
    if (loader->kpi_count > 0) {
        qsort(loader->kpis, loader->kpi_count, sizeof *loader->kpis, compare_raw_kpis);
    }
    if (loader->board_count > 0) {
        qsort(loader->boards, loader->board_count, sizeof *loader->boards, compare_raw_boards);
    }
    if (!compute_hash(loader) || !take_definitions(loader) || !tell_kpis_their_boards(loader->catalog)) {
        struct place place = place_in(loader, loader->directory);
        place_say_no_memory(&place);
    }
    take_fingerprints(loader->catalog);
}

static void check_amounts(const struct loader *loader)
{
    struct place place = place_in(loader, loader->directory);
    if (loader->report->count == 0 && loader->board_count == 0) {
        place_say(&place, NULL, "no board is defined in boards/*.json");
    }
}

static void loader_finish(struct loader *loader)
{
    for (size_t i = 0; i < loader->kpi_count; i++) {
        kpi_destroy(loader->kpis[i].made.kpi);
        json_decref(loader->kpis[i].json);
        free(loader->kpis[i].file);
    }
    for (size_t i = 0; i < loader->board_count; i++) {
        board_definition_destroy(loader->boards[i].made.board);
        json_decref(loader->boards[i].json);
        free(loader->boards[i].file);
    }
    free(loader->kpis);
    free(loader->boards);
    json_decref(loader->classes);
}

static struct catalog *catalog_create(void)
{
    struct catalog *catalog = calloc(1, sizeof *catalog);
    if (catalog) {
        catalog->references = 1;
        class_table_init(&catalog->classes);
        role_table_init(&catalog->roles);
        map_init(&catalog->kpis_by_id, DEFINITION_KPIS_MAX);
        map_init(&catalog->boards_by_id, DEFINITION_FILES_MAX);
    }
    return catalog;
}

static void catalog_destroy(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->kpi_count; i++) {
        kpi_destroy(catalog->kpis[i]);
    }
    for (size_t i = 0; i < catalog->board_count; i++) {
        board_definition_destroy(catalog->boards[i]);
    }
    free(catalog->kpis);
    free(catalog->boards);
    map_finish(&catalog->kpis_by_id);
    map_finish(&catalog->boards_by_id);
    class_table_finish(&catalog->classes);
    free(catalog);
}

struct catalog *catalog_load(const char *directory, struct catalog_report *report)
{
    size_t findings = report->count;
    struct loader loader = {.catalog = catalog_create(), .directory = directory, .report = report};
    if (!loader.catalog) {
        struct place place = place_in(&loader, directory);
        place_say_no_memory(&place);
        return NULL;
    }
    load_classes(&loader);
    read_directory(&loader, "kpis", read_kpi_file);
    tie_kpis(&loader);
    read_directory(&loader, "boards", read_board_file);
    check_amounts(&loader);
    if (report->count == findings) {
        complete(&loader);
    }
    loader_finish(&loader);
    if (report->count != findings) {
        catalog_unref(loader.catalog);
        return NULL;
    }
    return loader.catalog;
}

/* ---- asking ---- */

struct catalog *catalog_ref(struct catalog *catalog)
{
    catalog->references++;
    return catalog;
}

void catalog_unref(struct catalog *catalog)
{
    if (!catalog) {
        return;
    }
    assert(catalog->references > 0);
    if (--catalog->references == 0) {
        catalog_destroy(catalog);
    }
}

const char *catalog_hash(const struct catalog *catalog)
{
    return catalog->hash;
}

uint64_t catalog_role(const struct catalog *catalog, const char *name, size_t length)
{
    return role_table_bit(&catalog->roles, name, length);
}

char *catalog_serve_board(const struct catalog *catalog, const struct board_definition *board,
                          const char *view, bool (*sees)(const void *context, const struct kpi *kpi),
                          const void *context)
{
    return board_serve(board, catalog->hash, view, sees, context);
}

size_t catalog_board_count(const struct catalog *catalog)
{
    return catalog->board_count;
}

const struct board_definition *catalog_board_at(const struct catalog *catalog, size_t index)
{
    assert(index < catalog->board_count);
    return catalog->boards[index];
}

const struct board_definition *catalog_board(const struct catalog *catalog, const char *id)
{
    return map_get(&catalog->boards_by_id, id, strlen(id));
}

size_t catalog_kpi_count(const struct catalog *catalog)
{
    return catalog->kpi_count;
}

const struct kpi *catalog_kpi_at(const struct catalog *catalog, size_t index)
{
    assert(index < catalog->kpi_count);
    return catalog->kpis[index];
}

const struct kpi *catalog_kpi(const struct catalog *catalog, const char *id, size_t length)
{
    return map_get(&catalog->kpis_by_id, id, length);
}

const struct kpi *catalog_kpi_of_field(const struct catalog *catalog, const char *field)
{
    const char *mark = strchr(field, '#');
    const struct kpi *kpi = catalog_kpi(catalog, field, mark ? (size_t)(mark - field) : strlen(field));
    return kpi && kpi_has_rows(kpi) == (mark != NULL) ? kpi : NULL;
}
