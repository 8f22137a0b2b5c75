/**
 * Intrusive doubly linked list with a head node. Header only; no allocation.
 * A node that is in no list points to itself, so removing twice is harmless.
 */
#ifndef SOPHIA_BASE_LIST_H
#define SOPHIA_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list_node {
    struct list_node *prev;
    struct list_node *next;
};

/** The struct that contains `node` as its member `member`. */
#define LIST_ITEM(node, type, member) ((type *)(void *)((char *)(uintptr_t)(node)-offsetof(type, member)))

/** Visit every node; `node` must not be removed in the body (use LIST_EACH_SAFE). */
#define LIST_EACH(node, head) for (struct list_node *node = (head)->next; node != (head); node = node->next)

/** Visit every node; the body may remove or free the visited one, no other. */
#define LIST_EACH_SAFE(node, head)                                                         \
    for (struct list_node *node = (head)->next, *node##_next = node->next; node != (head); \
         node = node##_next, node##_next = node->next)

static inline void list_init(struct list_node *node)
{
    node->prev = node;
    node->next = node;
}

static inline bool list_is_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_append(struct list_node *head, struct list_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#endif
