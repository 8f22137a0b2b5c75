/*
 * Many viewers of a gateway, and producers, that check what arrives and say how late.
 *
 *     sophia-load [OPTION...] SCENARIO.json
 *
 * load_scenario.h says what is in a scenario, load_session.h what happens, load_report.h what comes out.
 * Nothing of the gateway is linked but protocol/ and base/: a mistake there is not repeated here.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loadtest/load/load_report.h"
#include "loadtest/load/load_session.h"

enum {
    EXIT_BROKEN = 1,   /* an expectation does not hold */
    EXIT_UNUSABLE = 2, /* usage, or it could not run */
};

struct command_line {
    struct load_session_options session;
    json_t *replaced; /* owned: "member=value", ... */
    const char *file, *json_file;
    bool is_help;
};

static volatile sig_atomic_t must_stop;

static void on_signal(int number)
{
    (void)number;
    must_stop = 1;
}

static bool complain(const char *what, const char *about)
{
    fprintf(stderr, "sophia-load: %s%s%s\n", what, about ? ": " : "", about ? about : "");
    return false;
}

static void print_usage(FILE *to)
{
    fprintf(
        to,
        "usage: sophia-load [OPTION...] SCENARIO.json\n\n"
        "  --url http://HOST:PORT[,...]  gateways; viewers are dealt out in turn, producers use the first\n"
        "  --pid PID[,PID]               their processes, whose processor time and memory are read\n"
        "  --aside PID[,PID]             processes that take part too (databases): not counted as others\n"
        "  --viewers N  --seconds S  --rate R  --set MEMBER=VALUE\n"
        "                                instead of what the scenario says; PART.MEMBER=VALUE inside a part\n"
        "  --ingest-key KEY              bearer token of producers\n"
        "  --redis HOST:PORT             where producers of kind redis publish\n"
        "  --postgres URL                where producers of kind sql write\n"
        "  --json FILE                   the whole result\n"
        "  --progress                    a line every 5 seconds, also when stderr is no terminal\n\n"
        "Ends with 0 when what the scenario expects holds, 1 when not, 2 when it could not run.\n");
}

/* ---- the command line ---- */

static bool take_urls(struct load_session_options *session, const char *list)
{
    for (const char *at = list; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (session->gateway_count == LOAD_GATEWAYS_MAX ||
            !load_address_parse(at, length, &session->gateways[session->gateway_count])) {
            return complain("no address of a gateway", at);
        }
        session->gateway_count++;
        at += length + (at[length] == ',');
    }
    return true;
}

static bool take_pids(pid_t pids[LOAD_PIDS_MAX], uint32_t *count, const char *list)
{
    for (const char *at = list; *at != '\0';) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || *count == LOAD_PIDS_MAX || (*end != ',' && *end != '\0')) {
            return complain("no process", at);
        }
        pids[(*count)++] = (pid_t)pid;
        at = end + (*end == ',');
    }
    return true;
}

static bool replace(struct command_line *line, const char *member, const char *value)
{
    char text[512];
    snprintf(text, sizeof text, "%s%s", member, value);
    return json_array_append_new(line->replaced, json_string(text)) == 0 || complain("not UTF-8", value);
}

static bool take_option(struct command_line *line, int option, const char *value)
{
    switch (option) {
    case 'u':
        return take_urls(&line->session, value);
    case 'p':
        return take_pids(line->session.servers.pids, &line->session.servers.count, value);
    case 'a':
        return take_pids(line->session.servers.aside, &line->session.servers.aside_count, value);
    case 'v':
        return replace(line, "viewers=", value);
    case 's':
        return replace(line, "seconds=", value);
    case 'r':
        return replace(line, "producer.rate=", value);
    case 'S':
        return replace(line, "", value);
    case 'k':
        line->session.ingest_key = value;
        return true;
    case 'R':
        line->session.redis = value;
        return true;
    case 'P':
        line->session.postgres = value;
        return true;
    case 'j':
        line->json_file = value;
        return true;
    case 'g':
        line->session.tells_progress = true;
        return true;
    case 'h':
        line->is_help = true;
        return true;
    default: /* getopt_long() has said it */
        return false;
    }
}

static bool read_command_line(int argc, char **argv, struct command_line *line)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},     {"pid", required_argument, NULL, 'p'},
        {"aside", required_argument, NULL, 'a'},   {"viewers", required_argument, NULL, 'v'},
        {"seconds", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},
        {"set", required_argument, NULL, 'S'},     {"ingest-key", required_argument, NULL, 'k'},
        {"redis", required_argument, NULL, 'R'},   {"postgres", required_argument, NULL, 'P'},
        {"json", required_argument, NULL, 'j'},    {"progress", no_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    line->session.tells_progress = isatty(STDERR_FILENO) == 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (!take_option(line, option, optarg)) {
            return false;
        }
    }
    if (line->is_help) {
        return true;
    }
    if (optind != argc - 1) {
        return complain("exactly one scenario is needed; --help says more", NULL);
    }
    line->file = argv[optind];
    return line->session.gateway_count > 0 || complain("--url is missing", NULL);
}

/* ---- the scenario ---- */

static bool check_expectations(const struct scenario *scenario)
{
    const char *name;
    json_t *limit;
    json_object_foreach((json_t *)(uintptr_t)scenario->expect, name, limit) {
        if (!load_report_knows(name) || !json_is_number(limit)) {
            return complain("no such expectation, or no number", name);
        }
    }
    return true;
}

static bool read_scenario(const struct command_line *line, struct scenario *out_scenario)
{
    json_error_t error;
    char problem[SCENARIO_PROBLEM_BYTES] = "";
    json_t *json = json_load_file(line->file, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json)) {
        json_decref(json);
        return complain(line->file, json ? "not an object" : error.text);
    }
    size_t i;
    json_t *text;
    json_array_foreach(line->replaced, i, text) {
        if (scenario_set(json, json_string_value(text)) != RESULT_OK) {
            json_decref(json);
            return complain("not MEMBER=VALUE", json_string_value(text));
        }
    }
    enum result result = scenario_read(json, out_scenario, problem);
    if (result != RESULT_OK) {
        return complain(line->file, problem);
    }
    if (!check_expectations(out_scenario)) {
        scenario_finish(out_scenario);
        return false;
    }
    return true;
}

/** As many descriptors as we may have; false: that is fewer than there are viewers. */
static bool raise_descriptors(uint32_t viewers)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return false;
    }
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= viewers + 64;
}

/* ---- all ---- */

static int run(struct command_line *line, const struct scenario *scenario)
{
    char problem[SCENARIO_PROBLEM_BYTES] = "";
    bool is_held = false;
    line->session.scenario = scenario;
    line->session.must_stop = &must_stop;
    if (!raise_descriptors(scenario->viewers)) {
        (void)complain("the limit of open files is too low for so many viewers", NULL);
        return EXIT_UNUSABLE;
    }
    load_idlers_find(&line->session.servers);
    json_t *report = load_session_run(&line->session, &is_held, problem);
    if (!report) {
        (void)complain("cannot run", problem);
        return EXIT_UNUSABLE;
    }
    load_report_print(report);
    int code = is_held ? EXIT_SUCCESS : EXIT_BROKEN;
    if (line->json_file && json_dump_file(report, line->json_file, JSON_INDENT(2)) != 0) {
        (void)complain("cannot write", line->json_file);
        code = EXIT_UNUSABLE;
    }
    json_decref(report);
    return code;
}

int main(int argc, char **argv)
{
    struct command_line line = {.replaced = json_array()};
    struct scenario scenario;
    int code = EXIT_UNUSABLE;
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL); /* these signals exist */
    (void)sigaction(SIGTERM, &action, NULL);
    if (read_command_line(argc, argv, &line)) {
        if (line.is_help) {
            print_usage(stdout);
            code = EXIT_SUCCESS;
        } else if (read_scenario(&line, &scenario)) {
            code = run(&line, &scenario);
            scenario_finish(&scenario);
        }
    }
    json_decref(line.replaced);
    return code;
}
