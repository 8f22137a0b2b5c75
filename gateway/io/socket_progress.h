/**
 * Does a peer take what is on its way to it, however slowly?
 */
#ifndef SOPHIA_IO_SOCKET_PROGRESS_H
#define SOPHIA_IO_SOCKET_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * True when bytes wait for the peer's window and more were acknowledged than at the call before: then somebody reads them.
 * Without a wait acknowledgements say nothing: the peer's kernel gives them for a process that stands still.
 * inout_acked_bytes: 0 before the first call. Cost: one system call.
 */
bool socket_makes_progress(int fd, uint64_t *inout_acked_bytes);

#endif
