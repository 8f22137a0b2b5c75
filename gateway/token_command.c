/*
 * A token travels on standard input and output, never as an argument: arguments are seen by everybody on the machine. With a
 * configuration, minting and checking follow what it says of issuer, audience and keys, so what was minted for it is good there.
 */
#include "token_command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/base64.h"
#include "access/jwk_file.h"
#include "access/jwt.h"
#include "base/clock.h"
#include "config/config.h"

enum {
    EXIT_WRONG = 2,
    TTL_DEFAULT_S = 3600,
    TTL_DISPLAY_S = 12 * 3600,
    TTL_MAX_S = 366 * 86400,
    ROLES_MAX = 16,
    DISPLAY_MAX_BYTES = 200,
};

static const char help[] =
    "Usage: sophia-gateway token mint --sub NAME [--config FILE] [--key FILE] [--kid NAME] [--iss TEXT] [--aud TEXT] [--ttl SECONDS]\n"
    "                                 [--role NAME]...\n"
    "       sophia-gateway token mint --display NAME [...]\n"
    "       sophia-gateway token check --config FILE < TOKEN\n"
    "\n"
    "For development. mint prints a token; check reads one from standard input and says what a gateway with this\n"
    "configuration would.\n"
    "\n"
    "  --config FILE  issuer, audience, leeway and keys are its auth options\n"
    "  --key FILE     a private key or a set of them, as JWK; without it auth.jwk_file, which can sign with HS256 only\n"
    "  --kid NAME     which key of the set signs; without it the first\n"
    "  --sub NAME     who the token is for\n"
    "  --iss, --aud   instead of those of the configuration\n"
    "  --ttl SECONDS  how long the token is good; 3600 without it, 43200 for a display\n"
    "  --role NAME    a role of the token, in the claim of auth.roles_claim; up to 16 times\n"
    "  --display NAME for a screen on a wall: --sub display:NAME --role display\n";

struct token_arguments {
    const char *config_path, *key_path, *kid, *subject, *display, *issuer, *audience;
    const char *roles_claim;
    const char *roles[ROLES_MAX];
    size_t role_count;
    uint32_t ttl_s; /* 0: not said */
};

/* ---- the command line ---- */

static bool read_ttl(const char *text, uint32_t *out_ttl_s)
{
    char *end = NULL;
    errno = 0;
    unsigned long seconds = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || seconds < 1 || seconds > TTL_MAX_S) {
        fprintf(stderr, "token: --ttl is not 1 to %d seconds\n", TTL_MAX_S);
        return false;
    }
    *out_ttl_s = (uint32_t)seconds;
    return true;
}

static bool add_role(const char *name, struct token_arguments *out)
{
    if (name[0] == '\0' || out->role_count == ROLES_MAX) {
        fprintf(stderr, "token: --role is empty, or given more than %d times\n", ROLES_MAX);
        return false;
    }
    out->roles[out->role_count++] = name;
    return true;
}

static bool read_arguments(int argc, char **argv, struct token_arguments *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'f'},  {"key", required_argument, NULL, 'k'},
        {"kid", required_argument, NULL, 'i'},     {"sub", required_argument, NULL, 's'},
        {"iss", required_argument, NULL, 'o'},     {"aud", required_argument, NULL, 'a'},
        {"ttl", required_argument, NULL, 't'},     {"role", required_argument, NULL, 'r'},
        {"display", required_argument, NULL, 'd'}, {NULL, 0, NULL, 0},
    };
    int option = 0;
    *out = (struct token_arguments){.ttl_s = 0};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **text = option == 'f'   ? &out->config_path
                            : option == 'k' ? &out->key_path
                            : option == 'i' ? &out->kid
                            : option == 's' ? &out->subject
                            : option == 'd' ? &out->display
                            : option == 'o' ? &out->issuer
                            : option == 'a' ? &out->audience
                                            : NULL;
        if (text) {
            *text = optarg;
        } else if (!(option == 't' && read_ttl(optarg, &out->ttl_s)) &&
                   !(option == 'r' && add_role(optarg, out))) {
            return false; /* said already */
        }
    }
    if (optind < argc) {
        fprintf(stderr, "token: unexpected argument; a token is read from standard input\n");
    }
    return optind == argc;
}

/** NULL after telling what is wrong. Without a path: what the environment says. */
static struct config *load_config(const char *path)
{
    struct config_report report;
    config_report_init(&report);
    struct config *config = config_load(path, environ, &report);
    if (!config) {
        fwrite(report.text.at, 1, report.text.length, stderr);
    }
    config_report_finish(&report);
    return config;
}

static struct jwk_set *load_keys(const char *path, enum jwk_purpose purpose)
{
    struct jwk_file file;
    char problem[JWK_PROBLEM_BYTES];
    struct jwk_set *keys = NULL;
    if (!path) { /* keys at an address are not fetched here */
        fprintf(stderr, "token: no keys: give --key, or a --config with auth.jwk_file\n");
        return NULL;
    }
    keys = jwk_file_read(path, purpose, &file, problem);
    if (!keys) {
        fprintf(stderr, "token: %s %s\n", path, problem);
    }
    return keys;
}

/* ---- mint ---- */

static void append_member(struct bytes *out, const char *name, const char *text)
{
    if (text && text[0] != '\0') {
        bytes_append_format(out, "%s\"%s\":", out->length > 1 ? "," : "", name);
        bytes_append_json_string(out, text, strlen(text));
    }
}

static void print_header(const struct jwk *key, struct bytes *out)
{
    bytes_append_byte(out, '{');
    append_member(out, "alg", jwk_algorithm_name(jwk_algorithm(key)));
    append_member(out, "kid", jwk_kid(key));
    append_member(out, "typ", "JWT");
    bytes_append_byte(out, '}');
}

static void print_roles(const struct token_arguments *arguments, struct bytes *out)
{
    for (size_t i = 0; i < arguments->role_count; i++) {
        if (i == 0) {
            bytes_append_byte(out, ',');
            bytes_append_json_string(out, arguments->roles_claim, strlen(arguments->roles_claim));
        }
        bytes_append_text(out, i == 0 ? ":[" : ",");
        bytes_append_json_string(out, arguments->roles[i], strlen(arguments->roles[i]));
    }
    bytes_append_text(out, arguments->role_count > 0 ? "]" : "");
}

/** Every display has a subject of its own, so that one can be revoked alone. */
static void print_subject(const struct token_arguments *arguments, struct bytes *out)
{
    char subject[DISPLAY_MAX_BYTES + 16];
    (void)snprintf(subject, sizeof subject, "display:%s", arguments->display ? arguments->display : "");
    append_member(out, "sub", arguments->subject ? arguments->subject : subject);
}

static void print_claims(const struct token_arguments *arguments, struct bytes *out)
{
    int64_t now_s = clock_wall_ms() / 1000;
    bytes_append_byte(out, '{');
    print_subject(arguments, out);
    append_member(out, "iss", arguments->issuer);
    append_member(out, "aud", arguments->audience);
    print_roles(arguments, out);
    bytes_append_format(out, ",\"iat\":%lld,\"exp\":%lld,\"jti\":\"%016llx\"}", (long long)now_s,
                        (long long)(now_s + arguments->ttl_s), (unsigned long long)random_u64());
}

static bool sign(const struct jwk *key, const struct token_arguments *arguments, struct bytes *out_token)
{
    struct bytes header, claims;
    unsigned char signature[JWK_SIGNATURE_MAX_BYTES];
    size_t length = 0;
    bytes_init(&header, JWT_HEADER_MAX_BYTES);
    bytes_init(&claims, TOKEN_MAX_BYTES);
    print_header(key, &header);
    print_claims(arguments, &claims);
    base64url_append(out_token, header.at, header.length);
    bytes_append_byte(out_token, '.');
    base64url_append(out_token, claims.at, claims.length);
    bool is_signed = !bytes_failed(&header) && !bytes_failed(&claims) && !bytes_failed(out_token) &&
                     jwk_sign(key, out_token->at, out_token->length, signature, &length);
    if (is_signed) {
        bytes_append_byte(out_token, '.');
        base64url_append(out_token, signature, length);
    }
    bytes_finish(&header);
    bytes_finish(&claims);
    return is_signed && !bytes_failed(out_token);
}

static int mint_with(const struct jwk_set *keys, const struct token_arguments *arguments)
{
    const struct jwk *key = arguments->kid ? jwk_set_find(keys, arguments->kid) : jwk_set_at(keys, 0);
    struct bytes token;
    if (!key) {
        fprintf(stderr, "token: there is no key named \"%s\"\n", arguments->kid);
        return EXIT_WRONG;
    }
    bytes_init(&token, TOKEN_MAX_BYTES);
    bool is_done = sign(key, arguments, &token);
    if (is_done) {
        bytes_append_byte(&token, '\n');
        is_done = fwrite(token.at, 1, token.length, stdout) == token.length && fflush(stdout) == 0;
    } else {
        fprintf(stderr, "token: could not be signed, or is larger than %d bytes\n", TOKEN_MAX_BYTES);
    }
    bytes_finish(&token);
    return is_done ? EXIT_SUCCESS : EXIT_WRONG;
}

static int mint(struct token_arguments *arguments)
{
    int code = EXIT_WRONG;
    if (!(arguments->subject && arguments->subject[0] != '\0') &&
        !(arguments->display && arguments->display[0] != '\0')) {
        fprintf(stderr, "token: mint needs --sub or --display\n");
        return EXIT_WRONG;
    }
    if (arguments->display && strlen(arguments->display) > DISPLAY_MAX_BYTES) {
        fprintf(stderr, "token: --display is longer than %d bytes\n", DISPLAY_MAX_BYTES);
        return EXIT_WRONG;
    }
    if (arguments->ttl_s == 0) {
        arguments->ttl_s = arguments->display ? TTL_DISPLAY_S : TTL_DEFAULT_S;
    }
    if (arguments->display && arguments->role_count == 0) {
        arguments->roles[arguments->role_count++] = "display";
    }
    struct config *config = load_config(arguments->config_path);
    if (!config) {
        return EXIT_WRONG;
    }
    arguments->issuer = arguments->issuer ? arguments->issuer : config->auth.issuer;
    arguments->audience = arguments->audience ? arguments->audience : config->auth.audience;
    arguments->roles_claim = config->auth.roles_claim ? config->auth.roles_claim : "roles";
    struct jwk_set *keys =
        load_keys(arguments->key_path ? arguments->key_path : config->auth.jwk_file, JWK_TO_SIGN);
    if (keys) {
        code = mint_with(keys, arguments);
    }
    jwk_set_destroy(keys);
    config_finish(config);
    return code;
}

/* ---- check ---- */

/** Standard input, without the line end and blanks behind the token. */
static size_t read_token(char to[TOKEN_MAX_BYTES + 2])
{
    size_t length = fread(to, 1, TOKEN_MAX_BYTES + 2, stdin);
    while (length > 0 && strchr(" \r\n", to[length - 1])) {
        length--;
    }
    return length;
}

static int check_with(const struct jwk_set *keys, const struct config_auth *auth)
{
    char token[TOKEN_MAX_BYTES + 2];
    struct jwt_claims claims;
    const struct jwt_rules rules = {.issuer = auth->issuer,
                                    .audience = auth->audience,
                                    .leeway_s = auth->leeway_s,
                                    .roles_claim = auth->roles_claim};
    int64_t now_s = clock_wall_ms() / 1000;
    size_t length = read_token(token);
    enum jwt_reason reason = jwt_verify(token, length, keys, &rules, now_s, &claims);
    explicit_bzero(token, sizeof token);
    if (reason != JWT_OK) {
        printf("refused: %s\n", jwt_reason_name(reason));
        return EXIT_FAILURE;
    }
    printf("ok: sub %s, exp %lld, %lld s from now%s%s\n", claims.subject, (long long)claims.expires_s,
           (long long)(claims.expires_s - now_s), claims.roles[0] ? ", roles " : "", claims.roles);
    return EXIT_SUCCESS;
}

static int check(const struct token_arguments *arguments)
{
    int code = EXIT_WRONG;
    struct config *config = load_config(arguments->config_path);
    if (!config) {
        return EXIT_WRONG;
    }
    struct jwk_set *keys = load_keys(config->auth.jwk_file, JWK_TO_VERIFY);
    if (keys) {
        code = check_with(keys, &config->auth);
    }
    jwk_set_destroy(keys);
    config_finish(config);
    return code;
}

int token_command(int argc, char **argv)
{
    struct token_arguments arguments;
    const char *verb = argc > 1 ? argv[1] : "";
    bool is_mint = strcmp(verb, "mint") == 0;
    if (!is_mint && strcmp(verb, "check") != 0) {
        bool is_asked = strcmp(verb, "--help") == 0;
        fputs(help, is_asked ? stdout : stderr);
        return is_asked ? EXIT_SUCCESS : EXIT_WRONG;
    }
    if (!read_arguments(argc - 1, argv + 1, &arguments)) {
        return EXIT_WRONG;
    }
    return is_mint ? mint(&arguments) : check(&arguments);
}
