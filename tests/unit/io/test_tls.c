/* The TLS engine against OpenSSL's own client. */
#include "io/tls.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tls_client.h"

enum { YEAR_S = 31536000, LONG_BYTES = 3000000 };

static struct tls_files files;
static uint64_t now_ms;

static uint64_t pretended_ms(void)
{
    return now_ms;
}

/** One server, one client, one connection between them. */
struct scene {
    struct metrics *metrics;
    struct tls *tls;
    struct tls_client client;
    struct tls_connection *server;
};

static struct tls *tls_of(struct metrics *metrics, const struct tls_files *pair, enum tls_version least,
                          unsigned char secret)
{
    struct tls_options options = {.pair = {.certificate_file = pair->certificate, .key_file = pair->key},
                                  .min_version = least,
                                  .monotonic_ms = pretended_ms};
    memset(options.secret.bytes, secret, sizeof options.secret.bytes);
    return tls_create(&options, metrics);
}

static void begin_with(struct scene *scene, enum tls_version least, unsigned char secret)
{
    scene->metrics = metrics_create();
    scene->tls = tls_of(scene->metrics, &files, least, secret);
    assert_non_null(scene->tls);
    tls_client_start(&scene->client);
    scene->server = tls_accept(scene->tls, scene->client.server_fd);
    assert_non_null(scene->server);
}

static void begin(struct scene *scene)
{
    begin_with(scene, TLS_VERSION_1_2, 1);
}

static void end(struct scene *scene)
{
    tls_close(scene->server);
    tls_client_stop(&scene->client);
    tls_destroy(scene->tls);
    metrics_destroy(scene->metrics);
}

static double count(const struct scene *scene, const char *name, const char *labels)
{
    struct metric *metric = metrics_find(scene->metrics, name, labels);
    assert_non_null(metric);
    return metric_read(metric);
}

static void assert_failed(const struct scene *scene, const char *reason)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
    assert_true(count(scene, "gw_tls_failures_total", labels) == 1);
    assert_true(metrics_sum(scene->metrics, "gw_tls_failures_total") == 1);
}

/** The client says `text`, the server hears it, and the other way round. */
static void assert_talking(struct scene *scene)
{
    char heard[64];
    size_t length = 0;
    assert_int_equal(SSL_write(scene->client.ssl, "ping", 4), 4);
    assert_int_equal(tls_read(scene->server, heard, sizeof heard, &length), TLS_DONE);
    assert_int_equal(length, 4);
    assert_memory_equal(heard, "ping", 4);
    assert_int_equal(tls_read(scene->server, heard, sizeof heard, &length), TLS_WANTS_READ);
    assert_int_equal(tls_write(scene->server, "pong", 4, &length), TLS_DONE);
    assert_int_equal(length, 4);
    assert_int_equal(SSL_read(scene->client.ssl, heard, sizeof heard), 4);
    assert_memory_equal(heard, "pong", 4);
}

static void test_both_versions_talk(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        struct scene scene;
        begin(&scene);
        assert_int_equal(SSL_set_max_proto_version(scene.client.ssl, versions[i]), 1);
        assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
        assert_int_equal(SSL_version(scene.client.ssl), versions[i]);
        assert_true(SSL_CIPHER_is_aead(SSL_get_current_cipher(scene.client.ssl)));
        assert_talking(&scene);
        assert_true(count(&scene, "gw_tls_handshakes_total", "kind=\"full\"") == 1);
        end(&scene);
    }
}

static void test_old_versions_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum tls_version least;
        int offered;
    } cases[] = {{TLS_VERSION_1_2, TLS1_1_VERSION}, {TLS_VERSION_1_3, TLS1_2_VERSION}};
    for (size_t i = 0; i < 2; i++) {
        struct scene scene;
        begin_with(&scene, cases[i].least, 1);
        assert_int_equal(SSL_set_max_proto_version(scene.client.ssl, cases[i].offered), 1);
        assert_int_equal(tls_meet(scene.server, &scene.client), TLS_FAILED);
        assert_failed(&scene, "version");
        assert_false(tls_met_plain_http(scene.server));
        end(&scene);
    }
}

static void test_ciphers_without_forward_secrecy_or_aead_are_refused(void **state)
{
    (void)state;
    static const char *const refused_lists[] = {"ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256",
                                                "ECDHE-ECDSA-AES256-SHA"};
    for (size_t i = 0; i < sizeof refused_lists / sizeof refused_lists[0]; i++) {
        struct scene scene;
        begin(&scene);
        assert_int_equal(SSL_set_max_proto_version(scene.client.ssl, TLS1_2_VERSION), 1);
        assert_int_equal(SSL_set_cipher_list(scene.client.ssl, refused_lists[i]), 1);
        assert_int_equal(tls_meet(scene.server, &scene.client), TLS_FAILED);
        assert_failed(&scene, "no_shared_cipher");
        end(&scene);
    }
}

static void test_http_1_1_is_the_only_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *offered;
        bool is_taken;
    } cases[] = {
        {"\x02h2\x08http/1.1", true}, {"\x08http/1.1", true}, {"\x02h2", false}, {"\x08http/1.0", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        const unsigned char *chosen = NULL;
        unsigned length = 0;
        begin(&scene);
        assert_int_equal(SSL_set_alpn_protos(scene.client.ssl, (const unsigned char *)cases[i].offered,
                                             (unsigned)strlen(cases[i].offered)),
                         0);
        assert_int_equal(tls_meet(scene.server, &scene.client), cases[i].is_taken ? TLS_DONE : TLS_FAILED);
        SSL_get0_alpn_selected(scene.client.ssl, &chosen, &length);
        if (cases[i].is_taken) {
            assert_int_equal(length, 8);
            assert_memory_equal(chosen, "http/1.1", 8);
        } else {
            assert_failed(&scene, "no_shared_protocol");
        }
        end(&scene);
    }
}

/* Tickets. */

/** A session that the client could resume: what comes with the first read. */
static SSL_SESSION *session_with(unsigned char secret, int version)
{
    struct scene scene;
    begin_with(&scene, TLS_VERSION_1_2, secret);
    assert_int_equal(SSL_set_max_proto_version(scene.client.ssl, version), 1);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    assert_talking(&scene);
    SSL_SESSION *session = SSL_get1_session(scene.client.ssl);
    assert_true(SSL_SESSION_is_resumable(session));
    tls_say_goodbye(scene.server); /* a session whose connection broke is not to be resumed */
    (void)SSL_shutdown(scene.client.ssl);
    end(&scene);
    return session;
}

static bool is_resumed(SSL_SESSION *session, unsigned char secret)
{
    struct scene scene;
    begin_with(&scene, TLS_VERSION_1_2, secret);
    assert_int_equal(SSL_set_max_proto_version(scene.client.ssl, SSL_SESSION_get_protocol_version(session)),
                     1);
    assert_int_equal(SSL_set_session(scene.client.ssl, session), 1);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    assert_talking(&scene);
    bool is = SSL_session_reused(scene.client.ssl) == 1;
    assert_true(count(&scene, "gw_tls_handshakes_total", is ? "kind=\"resumed\"" : "kind=\"full\"") == 1);
    tls_say_goodbye(scene.server);
    (void)SSL_shutdown(scene.client.ssl);
    end(&scene);
    return is;
}

static void test_who_shares_the_secret_resumes_the_session(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        now_ms = 0;
        SSL_SESSION *session = session_with(1, versions[i]); /* by a server that has gone since */
        assert_true(is_resumed(session, 1));
        assert_false(is_resumed(session, 2));
        SSL_SESSION_free(session);
    }
}

static void test_tickets_open_for_two_periods_more(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        for (unsigned period = 0; period <= 4; period++) {
            now_ms = 0;
            SSL_SESSION *session = session_with(1, versions[i]);
            now_ms = period * (uint64_t)TLS_TICKET_PERIOD_MS;
            assert_int_equal(is_resumed(session, 1), period <= 2);
            SSL_SESSION_free(session);
        }
    }
    now_ms = 0;
}

/* Bytes. */

static char *long_text(void)
{
    char *text = malloc(LONG_BYTES);
    assert_non_null(text);
    for (size_t i = 0; i < LONG_BYTES; i++) {
        text[i] = (char)('a' + i % 23);
    }
    return text;
}

static void test_what_the_socket_does_not_take_is_taken_later(void **state)
{
    (void)state;
    struct scene scene;
    char *text = long_text(), *moved = malloc(LONG_BYTES), *heard = malloc(LONG_BYTES);
    size_t sent = 0, got = 0, full = 0;
    begin(&scene);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    while (got < LONG_BYTES) {
        size_t taken = 0;
        if (sent < LONG_BYTES) {
            memcpy(moved, text + sent,
                   LONG_BYTES - sent); /* the same bytes elsewhere, as when they were kept */
            enum tls_result result = tls_write(scene.server, moved, LONG_BYTES - sent, &taken);
            assert_int_equal(result, sent + taken == LONG_BYTES ? TLS_DONE : TLS_WANTS_WRITE);
            full += result == TLS_WANTS_WRITE;
            sent += taken;
        }
        int more = SSL_read(scene.client.ssl, heard + got, (int)(LONG_BYTES - got));
        assert_true(more > 0);
        got += (size_t)more;
    }
    assert_true(full > 0);
    assert_memory_equal(heard, text, LONG_BYTES);
    free(text);
    free(moved);
    free(heard);
    end(&scene);
}

static void test_the_rest_of_a_record_is_there_without_the_socket(void **state)
{
    (void)state;
    struct scene scene;
    char sent[1000], heard[1000];
    size_t length = 0;
    memset(sent, 'r', sizeof sent);
    begin(&scene);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    assert_int_equal(SSL_write(scene.client.ssl, sent, sizeof sent), sizeof sent);
    assert_int_equal(tls_read(scene.server, heard, 600, &length), TLS_DONE);
    assert_int_equal(length, 600);
    assert_true(tls_has_input(scene.server));
    assert_int_equal(recv(scene.client.server_fd, heard, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    assert_int_equal(tls_read(scene.server, heard, sizeof heard, &length), TLS_DONE);
    assert_int_equal(length, 400);
    assert_false(tls_has_input(scene.server));
    end(&scene);
}

static void test_many_new_keys_are_taken_one_at_a_time(void **state)
{
    (void)state;
    enum { KEYS = 100 };
    struct scene scene;
    char heard[64];
    size_t length = 0;
    int reads = 0;
    begin(&scene);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    assert_int_equal(SSL_version(scene.client.ssl), TLS1_3_VERSION);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(SSL_key_update(scene.client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(scene.client.ssl), 1);
    }
    assert_int_equal(SSL_write(scene.client.ssl, "ping", 4), 4);
    while (tls_read(scene.server, heard, sizeof heard, &length) == TLS_WANTS_READ) {
        reads++;
        assert_true(reads <= KEYS + 4); /* and those of the handshake, such as the first Finished */
    }
    assert_int_equal(length, 4);
    assert_memory_equal(heard, "ping", 4);
    assert_true(reads >= KEYS);
    end(&scene);
}

static void test_records_that_were_changed_end_the_connection(void **state)
{
    (void)state;
    struct scene scene;
    char byte;
    size_t length = 0;
    begin(&scene);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    static const unsigned char forged[] = {23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                                           9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    assert_int_equal(send(scene.client.fd, forged, sizeof forged, 0), sizeof forged);
    assert_int_equal(tls_read(scene.server, &byte, 1, &length), TLS_FAILED);
    assert_failed(&scene, "bad_record");
    assert_int_equal(tls_read(scene.server, &byte, 1, &length), TLS_CLOSED);
    assert_int_equal(tls_write(scene.server, "x", 1, &length), TLS_CLOSED);
    tls_say_goodbye(scene.server); /* does nothing, and harms nothing */
    end(&scene);
}

/* Ends. */

static void test_goodbye_is_heard_by_both(void **state)
{
    (void)state;
    struct scene scene;
    char byte;
    size_t length = 0;
    begin(&scene);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    (void)SSL_shutdown(scene.client.ssl);
    assert_int_equal(tls_read(scene.server, &byte, 1, &length), TLS_CLOSED);
    assert_int_equal(tls_write(scene.server, "last", 4, &length), TLS_DONE); /* only its half is closed */
    tls_say_goodbye(scene.server);
    char heard[8];
    assert_int_equal(SSL_read(scene.client.ssl, heard, sizeof heard), 4);
    int status = SSL_read(scene.client.ssl, heard, sizeof heard);
    assert_int_equal(SSL_get_error(scene.client.ssl, status), SSL_ERROR_ZERO_RETURN);
    end(&scene);
}

static void test_a_peer_that_just_leaves_is_closed_not_failed(void **state)
{
    (void)state;
    struct scene scene;
    char byte;
    size_t length = 0;
    begin(&scene);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    assert_int_equal(close(scene.client.fd), 0);
    scene.client.fd = -1;
    enum tls_result result = TLS_WANTS_READ;
    for (int i = 0; i < 3 && result != TLS_CLOSED; i++) { /* its last words may come first */
        result = tls_read(scene.server, &byte, 1, &length);
    }
    assert_int_equal(result, TLS_CLOSED);
    assert_int_equal(tls_write(scene.server, "x", 1, &length), TLS_CLOSED);
    assert_true(metrics_sum(scene.metrics, "gw_tls_failures_total") == 0);
    end(&scene);
}

static void test_a_peer_that_leaves_in_the_handshake_is_counted(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    assert_int_equal(tls_handshake(scene.server), TLS_WANTS_READ);
    assert_int_equal(shutdown(scene.client.fd, SHUT_RDWR), 0);
    assert_int_equal(tls_handshake(scene.server), TLS_CLOSED);
    assert_failed(&scene, "closed");
    end(&scene);
}

static void test_one_that_is_given_up_is_counted(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    assert_int_equal(tls_handshake(scene.server), TLS_WANTS_READ);
    tls_gave_up(scene.server);
    assert_failed(&scene, "timeout");
    end(&scene);
}

static void test_what_is_not_tls_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        const char *reason;
        bool is_http;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http_request", true},
        {"POST /api HTTP/1.1\r\n\r\n", "http_request", true},
        {"HEAD / HTTP/1.1\r\n\r\n", "http_request", true},
        {"CONNECT a:443 HTTP/1.1\r\n\r\n", "http_request", true},
        {"SSH-2.0-OpenSSH_9.2\r\n", "not_tls", false},
        {"\x16\x03\x01\xff\xff\x01\xff\xff\xff", "not_tls", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        begin(&scene);
        size_t length = strlen(cases[i].said);
        assert_int_equal(send(scene.client.fd, cases[i].said, length, 0), length);
        assert_int_equal(tls_handshake(scene.server), TLS_FAILED);
        assert_int_equal(tls_met_plain_http(scene.server), cases[i].is_http);
        assert_failed(&scene, cases[i].reason);
        end(&scene);
    }
}

/* Files. */

static struct tls_pair_check check_of(const char *certificate, const char *key)
{
    const struct tls_pair pair = {.certificate_file = certificate, .key_file = key};
    struct tls_pair_check check;
    tls_pair_check(&pair, &check);
    return check;
}

static void assert_fault(const struct tls_pair_check *check, enum tls_pair_fault fault, const char *words)
{
    if (check->fault != fault || !strstr(check->problem, words)) {
        fail_msg("expected fault %d with \"%s\", got %d: %s", fault, words, check->fault, check->problem);
    }
}

static void test_a_pair_is_judged_before_it_is_used(void **state)
{
    (void)state;
    struct tls_files other, locked, old;
    tls_files_make(&other, -60, YEAR_S, NULL);
    tls_files_make(&locked, -60, YEAR_S, "passphrase");
    tls_files_make(&old, -2 * YEAR_S, -YEAR_S, NULL);
    int64_t now_s = clock_wall_ms() / 1000;

    struct tls_pair_check check = check_of(files.certificate, files.key);
    assert_fault(&check, TLS_PAIR_OK, "");
    assert_in_range(check.expires_s - now_s, YEAR_S - 60, YEAR_S);
    assert_in_range(now_s - check.begins_s, 60, 120);
    check = check_of(old.certificate, old.key);
    assert_fault(&check, TLS_PAIR_OK, "");
    assert_true(check.expires_s < now_s);
    check = check_of("/nowhere/cert.pem", files.key);
    assert_fault(&check, TLS_PAIR_CERTIFICATE, "/nowhere/cert.pem cannot be read: No such file or directory");
    check = check_of(files.certificate, "/nowhere/key.pem");
    assert_fault(&check, TLS_PAIR_KEY, "/nowhere/key.pem cannot be read: No such file or directory");
    check = check_of(files.key, files.key);
    assert_fault(&check, TLS_PAIR_CERTIFICATE, "holds no such thing in PEM");
    check = check_of(files.certificate, files.certificate);
    assert_fault(&check, TLS_PAIR_KEY, files.certificate);
    check = check_of(files.certificate, other.key);
    assert_fault(&check, TLS_PAIR_MISMATCH, "is not the key of the certificate");
    check = check_of(locked.certificate, locked.key);
    assert_fault(&check, TLS_PAIR_KEY, "needs a passphrase");

    tls_files_remove(&other);
    tls_files_remove(&locked);
    tls_files_remove(&old);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[8192];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    assert_true(in && out);
    size_t length = fread(bytes, 1, sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
}

/** The server's certificate as a new client sees it. */
static X509 *certificate_now(const struct scene *scene)
{
    struct tls_client client;
    tls_client_start(&client);
    struct tls_connection *server = tls_accept(scene->tls, client.server_fd);
    assert_int_equal(tls_meet(server, &client), TLS_DONE);
    X509 *certificate = SSL_get1_peer_certificate(client.ssl);
    tls_close(server);
    tls_client_stop(&client);
    return certificate;
}

static void test_a_reload_is_for_new_connections_and_bad_files_change_nothing(void **state)
{
    (void)state;
    struct scene scene = {.metrics = metrics_create()};
    struct tls_files used, fresh, old;
    tls_files_make(&used, -60, YEAR_S, NULL);
    tls_files_make(&fresh, -60, 2 * YEAR_S, NULL);
    tls_files_make(&old, -2 * YEAR_S, -YEAR_S, NULL);
    scene.tls = tls_of(scene.metrics, &used, TLS_VERSION_1_2, 1);
    assert_non_null(scene.tls);
    tls_client_start(&scene.client);
    scene.server = tls_accept(scene.tls, scene.client.server_fd);
    assert_int_equal(tls_meet(scene.server, &scene.client), TLS_DONE);
    X509 *before = certificate_now(&scene);
    assert_in_range(count(&scene, "gw_tls_certificate_left_seconds", NULL), YEAR_S - 60, YEAR_S);

    copy_file(fresh.certificate, used.certificate); /* whose key is not there yet */
    assert_false(tls_reload(scene.tls));
    X509 *kept = certificate_now(&scene);
    assert_int_equal(X509_cmp(before, kept), 0);
    copy_file(fresh.key, used.key);
    assert_true(tls_reload(scene.tls));
    X509 *after = certificate_now(&scene);
    assert_int_not_equal(X509_cmp(before, after), 0);
    assert_in_range(count(&scene, "gw_tls_certificate_left_seconds", NULL), 2 * YEAR_S - 60, 2 * YEAR_S);
    copy_file(old.certificate, used.certificate);
    copy_file(old.key, used.key);
    assert_false(tls_reload(scene.tls)); /* an expired one is worse than what we have */
    assert_in_range(count(&scene, "gw_tls_certificate_left_seconds", NULL), 2 * YEAR_S - 60, 2 * YEAR_S);
    assert_true(count(&scene, "gw_tls_reloads_total", "result=\"ok\"") == 1);
    assert_true(count(&scene, "gw_tls_reloads_total", "result=\"refused\"") == 2);
    assert_talking(&scene); /* the first connection goes on with what it began with */

    X509_free(before);
    X509_free(kept);
    X509_free(after);
    end(&scene);
    tls_files_remove(&used);
    tls_files_remove(&fresh);
    tls_files_remove(&old);
}

/** At a time of its own: two in a row may fall into one tick of the kernel's clock. */
static void replace_file(const char *from, const char *to)
{
    static time_t at_s = 1700000000;
    at_s++;
    const struct timespec times[2] = {{.tv_sec = at_s}, {.tv_sec = at_s}};
    copy_file(from, to);
    assert_int_equal(utimensat(AT_FDCWD, to, times, 0), 0);
}

static void test_files_that_change_are_read_when_they_are_left_alone(void **state)
{
    (void)state;
    struct scene scene = {.metrics = metrics_create()};
    struct tls_files used, fresh;
    tls_files_make(&used, -60, YEAR_S, NULL);
    tls_files_make(&fresh, -60, 2 * YEAR_S, NULL);
    scene.tls = tls_of(scene.metrics, &used, TLS_VERSION_1_2, 1);
    assert_non_null(scene.tls);
    tls_tick(scene.tls);
    replace_file(fresh.certificate, used.certificate);
    tls_tick(scene.tls);
    tls_tick(scene.tls);
    now_ms += 1900;
    replace_file(fresh.key, used.key); /* just in time */
    tls_tick(scene.tls);
    now_ms += 1900;
    tls_tick(scene.tls);
    assert_in_range(count(&scene, "gw_tls_certificate_left_seconds", NULL), YEAR_S - 60, YEAR_S);
    assert_true(count(&scene, "gw_tls_reloads_total", "result=\"refused\"") == 0);
    now_ms += 100;
    tls_tick(scene.tls);
    assert_in_range(count(&scene, "gw_tls_certificate_left_seconds", NULL), 2 * YEAR_S - 60, 2 * YEAR_S);
    now_ms += 10000;
    tls_tick(scene.tls); /* nothing new */
    assert_true(count(&scene, "gw_tls_reloads_total", "result=\"ok\"") == 1);
    assert_int_equal(unlink(used.key), 0);
    for (int i = 0; i < 3; i++) {
        tls_tick(scene.tls);
        now_ms += 5000;
    }
    assert_true(count(&scene, "gw_tls_reloads_total", "result=\"refused\"") == 1); /* said once */
    assert_in_range(count(&scene, "gw_tls_certificate_left_seconds", NULL), 2 * YEAR_S - 60, 2 * YEAR_S);
    tls_destroy(scene.tls);
    metrics_destroy(scene.metrics);
    tls_files_remove(&used);
    tls_files_remove(&fresh);
}

static void test_a_port_without_its_files_is_not_made(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct tls_files gone = {.certificate = "/nowhere/cert.pem", .key = "/nowhere/key.pem"};
    assert_null(tls_of(metrics, &gone, TLS_VERSION_1_2, 1));
    metrics_destroy(metrics);
}

static void test_a_websocket_key_is_answered_as_the_rfc_says(void **state)
{
    (void)state;
    char accept[TLS_ACCEPT_BYTES];
    assert_true(tls_websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept));
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455, 1.3 */
}

static int make_files(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    tls_files_make(&files, -60, YEAR_S, NULL);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_versions_talk),
        cmocka_unit_test(test_old_versions_are_refused),
        cmocka_unit_test(test_ciphers_without_forward_secrecy_or_aead_are_refused),
        cmocka_unit_test(test_http_1_1_is_the_only_protocol),
        cmocka_unit_test(test_who_shares_the_secret_resumes_the_session),
        cmocka_unit_test(test_tickets_open_for_two_periods_more),
        cmocka_unit_test(test_what_the_socket_does_not_take_is_taken_later),
        cmocka_unit_test(test_the_rest_of_a_record_is_there_without_the_socket),
        cmocka_unit_test(test_many_new_keys_are_taken_one_at_a_time),
        cmocka_unit_test(test_records_that_were_changed_end_the_connection),
        cmocka_unit_test(test_goodbye_is_heard_by_both),
        cmocka_unit_test(test_a_peer_that_just_leaves_is_closed_not_failed),
        cmocka_unit_test(test_a_peer_that_leaves_in_the_handshake_is_counted),
        cmocka_unit_test(test_one_that_is_given_up_is_counted),
        cmocka_unit_test(test_what_is_not_tls_is_told_apart),
        cmocka_unit_test(test_a_pair_is_judged_before_it_is_used),
        cmocka_unit_test(test_a_reload_is_for_new_connections_and_bad_files_change_nothing),
        cmocka_unit_test(test_files_that_change_are_read_when_they_are_left_alone),
        cmocka_unit_test(test_a_port_without_its_files_is_not_made),
        cmocka_unit_test(test_a_websocket_key_is_answered_as_the_rfc_says),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
