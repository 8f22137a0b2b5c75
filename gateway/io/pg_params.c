/* See pg_params.h. The pointers come first, their text behind them. */
#include "io/pg_params.h"

#include <string.h>

size_t pg_params_size(const struct pg_query *query)
{
    size_t size = query->param_count * sizeof(char *);
    for (size_t i = 0; i < query->param_count; i++) {
        size += query->params[i] ? strlen(query->params[i]) + 1 : 0;
    }
    return size;
}

void pg_params_copy(const struct pg_query *query, const char **out_params)
{
    char *text = (char *)&out_params[query->param_count];
    for (size_t i = 0; i < query->param_count; i++) {
        out_params[i] = NULL;
        if (query->params[i]) {
            size_t length = strlen(query->params[i]) + 1;
            out_params[i] = memcpy(text, query->params[i], length);
            text += length;
        }
    }
}
