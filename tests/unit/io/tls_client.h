/**
 * Certificates of the test's own, and a TLS client of OpenSSL on one end of a socket pair. Both ends live in the same
 * thread and never wait.
 */
#ifndef SOPHIA_TESTS_TLS_CLIENT_H
#define SOPHIA_TESTS_TLS_CLIENT_H

#include <openssl/ssl.h>

#include "io/tls.h"

/** Files that hold a self-made certificate and its key; removed by tls_files_remove(). */
struct tls_files {
    char certificate[64];
    char key[64];
};
/** begins_s, expires_s: counted from now. passphrase: of the key, or NULL. */
void tls_files_make(struct tls_files *out_files, long begins_s, long expires_s, const char *passphrase);
void tls_files_remove(const struct tls_files *files);

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    int fd;        /* the client's end */
    int server_fd; /* the other one */
};

/** Defaults: any version, no ALPN, no session. Change client->ssl before tls_meet(). */
void tls_client_start(struct tls_client *out_client);
void tls_client_stop(struct tls_client *client);

/** Turns of both until the server's handshake has a result that is not a wish, or both wait for each other (WANTS_READ). */
enum tls_result tls_meet(struct tls_connection *server, struct tls_client *client);

#endif
