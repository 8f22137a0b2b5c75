/* A file of its own because <linux/tcp.h>, which knows tcpi_bytes_acked, and <netinet/tcp.h> exclude each other. */
#include "io/socket_progress.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

bool socket_makes_progress(int fd, uint64_t *inout_acked_bytes)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
        return false;
    }
    bool has_more = info.tcpi_bytes_acked > *inout_acked_bytes;
    *inout_acked_bytes = info.tcpi_bytes_acked;
    return has_more && info.tcpi_notsent_bytes > 0;
}
