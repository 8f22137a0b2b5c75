/**
 * What a message of Redis means: an entry of redis.channels or redis.streams.
 */
#ifndef SOPHIA_SOURCES_REDIS_MAPPING_H
#define SOPHIA_SOURCES_REDIS_MAPPING_H

enum redis_mapping_kind {
    REDIS_MAPPING_CHANNEL, /* SUBSCRIBE */
    REDIS_MAPPING_PATTERN, /* PSUBSCRIBE */
    REDIS_MAPPING_STREAM,  /* XREAD */
};

enum redis_mapping_form {
    REDIS_FORM_ENVELOPE, /* the change envelope of PROTOCOL.md, "Changes": the message names its fields */
    REDIS_FORM_KPI,      /* a value of `kpi`, or one row of it */
};

enum redis_stream_from {
    REDIS_FROM_NEWEST, /* without a stored id: what is added from now on */
    REDIS_FROM_OLDEST, /* without a stored id: everything the stream still holds */
};

struct redis_mapping {
    enum redis_mapping_kind kind;
    const char *name; /* of the channel, pattern or stream */
    enum redis_mapping_form form;
    const char *kpi; /* the field a message sets; NULL exactly for the envelope form */
    const char
        *reread_key; /* holds the newest message, read after a reconnect; NULL: none. Channels and patterns */
    enum redis_stream_from stream_from; /* streams */
};

#endif
