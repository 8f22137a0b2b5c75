/* See tls_client.h. */
#include "tls_client.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static FILE *open_new(char *path)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    return file;
}

void tls_files_make(struct tls_files *out_files, long begins_s, long expires_s, const char *passphrase)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_true(key && certificate);
    X509_NAME *name = X509_get_subject_name(certificate);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), begins_s));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), expires_s));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    (void)snprintf(out_files->certificate, sizeof out_files->certificate, "/tmp/sophia-test-cert-XXXXXX");
    (void)snprintf(out_files->key, sizeof out_files->key, "/tmp/sophia-test-key-XXXXXX");
    FILE *file = open_new(out_files->certificate);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    file = open_new(out_files->key);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                          (void *)(uintptr_t)passphrase),
                     1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void tls_files_remove(const struct tls_files *files)
{
    (void)unlink(files->certificate);
    (void)unlink(files->key);
}

void tls_client_start(struct tls_client *out_client)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    out_client->fd = ends[0];
    out_client->server_fd = ends[1];
    out_client->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(out_client->context);
    SSL_CTX_set_security_level(out_client->context, 0); /* the server is to judge */
    assert_int_equal(SSL_CTX_set_min_proto_version(out_client->context, TLS1_VERSION), 1);
    /* A cache would end its sessions with the context. */
    SSL_CTX_set_session_cache_mode(out_client->context, SSL_SESS_CACHE_OFF);
    out_client->ssl = SSL_new(out_client->context);
    assert_non_null(out_client->ssl);
    assert_int_equal(SSL_set_fd(out_client->ssl, out_client->fd), 1);
    SSL_set_connect_state(out_client->ssl);
}

void tls_client_stop(struct tls_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    if (client->fd >= 0) {
        (void)close(client->fd);
    }
    if (client->server_fd >= 0) {
        (void)close(client->server_fd);
    }
}

enum tls_result tls_meet(struct tls_connection *server, struct tls_client *client)
{
    enum { TURNS_MAX = 20 }; /* a handshake takes three */
    enum tls_result result = TLS_WANTS_READ;
    for (int i = 0; i < TURNS_MAX && (result == TLS_WANTS_READ || result == TLS_WANTS_WRITE); i++) {
        (void)SSL_do_handshake(client->ssl);
        result = tls_handshake(server);
    }
    (void)SSL_do_handshake(client->ssl);
    return result;
}
