/* Ticket keys: one chain for all who share the secret, three periods long, and only forward. */
#include "io/tls_tickets.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

enum { BEGAN_MS = 5000 };

static struct tls_secret secret_of(unsigned char fill)
{
    struct tls_secret secret = {.began_ms = BEGAN_MS};
    memset(secret.bytes, fill, sizeof secret.bytes);
    return secret;
}

/** The middle of a period. */
static uint64_t in_period(uint64_t period)
{
    return BEGAN_MS + period * TLS_TICKET_PERIOD_MS + TLS_TICKET_PERIOD_MS / 2;
}

static struct tls_tickets tickets_of(unsigned char fill, uint64_t period)
{
    struct tls_tickets tickets;
    const struct tls_secret secret = secret_of(fill);
    assert_true(tls_tickets_init(&tickets, &secret, in_period(period)));
    return tickets;
}

static void test_all_who_share_the_secret_have_the_same_keys(void **state)
{
    (void)state;
    struct tls_tickets early = tickets_of(1, 0);
    struct tls_tickets late = tickets_of(1, 7);
    for (uint64_t period = 1; period <= 7; period++) {
        assert_true(tls_tickets_turn(&early, in_period(period)));
    }
    assert_int_equal(early.key_count, TLS_TICKET_KEYS);
    assert_int_equal(late.key_count, TLS_TICKET_KEYS);
    assert_memory_equal(early.keys, late.keys, sizeof early.keys);
    assert_memory_equal(early.chain, late.chain, sizeof early.chain);
    struct tls_tickets jumped = tickets_of(1, 2);
    assert_true(tls_tickets_turn(&jumped, in_period(7))); /* asleep for five periods */
    assert_memory_equal(jumped.keys, late.keys, sizeof late.keys);
}

static void test_another_secret_means_other_keys(void **state)
{
    (void)state;
    struct tls_tickets ours = tickets_of(1, 3);
    struct tls_tickets theirs = tickets_of(2, 3);
    for (unsigned i = 0; i < TLS_TICKET_KEYS; i++) {
        assert_null(tls_tickets_find(&ours, theirs.keys[i].name));
        assert_memory_not_equal(ours.keys[i].cipher, theirs.keys[i].cipher, TLS_SECRET_BYTES);
        assert_memory_not_equal(ours.keys[i].mac, theirs.keys[i].mac, TLS_SECRET_BYTES);
    }
}

static void test_a_key_opens_for_two_more_periods_and_is_gone_then(void **state)
{
    (void)state;
    struct tls_tickets tickets = tickets_of(1, 0);
    const struct tls_ticket_key first = *tls_tickets_newest(&tickets);
    assert_int_equal(tickets.key_count, 1);
    for (uint64_t period = 0; period <= 3; period++) {
        assert_true(tls_tickets_turn(&tickets, in_period(period)));
        assert_int_equal(tls_tickets_find(&tickets, first.name) != NULL, period <= 2);
        assert_int_equal(tls_tickets_newest(&tickets) == tls_tickets_find(&tickets, first.name), period == 0);
    }
    /* Not a byte of it is left, nor can it be made again: the chain has moved on. */
    assert_null(memmem(&tickets, sizeof tickets, first.cipher, sizeof first.cipher));
    assert_null(memmem(&tickets, sizeof tickets, first.mac, sizeof first.mac));
    const struct tls_secret secret = secret_of(1);
    assert_null(memmem(&tickets, sizeof tickets, secret.bytes, sizeof secret.bytes));
}

static void test_the_key_changes_with_the_period_and_not_before(void **state)
{
    (void)state;
    const struct tls_secret secret = secret_of(1);
    struct tls_tickets tickets;
    assert_true(tls_tickets_init(&tickets, &secret, 0)); /* a clock before the secret's is its beginning */
    const struct tls_ticket_key first = *tls_tickets_newest(&tickets);
    assert_true(tls_tickets_turn(&tickets, BEGAN_MS + TLS_TICKET_PERIOD_MS - 1));
    assert_memory_equal(tls_tickets_newest(&tickets), &first, sizeof first);
    assert_true(tls_tickets_turn(&tickets, BEGAN_MS + TLS_TICKET_PERIOD_MS));
    assert_memory_not_equal(tls_tickets_newest(&tickets)->name, first.name, sizeof first.name);
    assert_memory_not_equal(tls_tickets_newest(&tickets)->cipher, first.cipher, sizeof first.cipher);
    const struct tls_ticket_key second = *tls_tickets_newest(&tickets);
    assert_true(tls_tickets_turn(&tickets, 0)); /* a clock that went back changes nothing */
    assert_memory_equal(tls_tickets_newest(&tickets), &second, sizeof second);
}

static void test_finishing_wipes(void **state)
{
    (void)state;
    static const struct tls_tickets nothing;
    struct tls_tickets tickets = tickets_of(1, 4);
    tls_tickets_finish(&tickets);
    assert_memory_equal(&tickets, &nothing, sizeof nothing);
}

static void test_made_secrets_differ(void **state)
{
    (void)state;
    struct tls_secret one, other;
    assert_true(tls_secret_make(&one, 7));
    assert_true(tls_secret_make(&other, 7));
    assert_int_equal(one.began_ms, 7);
    assert_memory_not_equal(one.bytes, other.bytes, sizeof one.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_who_share_the_secret_have_the_same_keys),
        cmocka_unit_test(test_another_secret_means_other_keys),
        cmocka_unit_test(test_a_key_opens_for_two_more_periods_and_is_gone_then),
        cmocka_unit_test(test_the_key_changes_with_the_period_and_not_before),
        cmocka_unit_test(test_finishing_wipes),
        cmocka_unit_test(test_made_secrets_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
